from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from haruon_tui.dataset.persona import TRAITS
from haruon_tui.errors import ConfigurationError, StageError
from haruon_tui.evaluation import judge
from haruon_tui.jobs.context import JobContext
from haruon_tui.settings import default_settings
from tests.dataset import generation_server
from tests.dataset.generation_server import GenerationServer

KEY = "sk-the-judge-0123456789"
SCORES = {one["key"]: 4 for one in judge.rubric()["criteria"]}
LINES = [
    {"model": model, "case": f"c{n}", "text": f"리포트 {n}",
     "answers": {trait.key: "답변" for trait in TRAITS}}
    for model in ("base", "tuned") for n in range(4)
]  # fmt: skip


def opinion(**changes: Any) -> str:
    return f"물론입니다. {json.dumps({'scores': SCORES | changes, 'comment': '차갑다'})}"


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUDGE_KEY", KEY)

    def written(messages: list[dict[str, str]], fault: str = "good") -> str:
        return "점수를 줄 수 없습니다" if fault == "invalid" else opinion()

    monkeypatch.setattr(generation_server, "written", written)


@pytest.fixture
def server() -> Iterator[GenerationServer]:
    with GenerationServer() as made:
        yield made


def params_for(server: GenerationServer) -> judge.Params:
    return judge.Params(
        base_url=server.url, model="judge-1", api_key_env="JUDGE_KEY", first_wait=0.01, rubric=1
    )


def test_each_report_is_judged_once_by_every_criterion(
    server: GenerationServer, tmp_path: Path
) -> None:
    job = JobContext.local(tmp_path / "run")
    verdicts = judge.run(params_for(server), LINES, job)
    assert [(one.model, one.case) for one in verdicts] == [
        (line["model"], line["case"]) for line in LINES
    ]
    assert judge.means(verdicts)["tuned"] == {**SCORES, "reports": 4}
    assert verdicts[0].comment == "차갑다"
    assert server.requests == len(LINES)
    assert server.most_in_flight <= 4


def test_the_judge_sees_rubric_answers_and_report(
    server: GenerationServer, tmp_path: Path
) -> None:
    judge.run(params_for(server), LINES[:1], JobContext.local(tmp_path / "run"))
    asked = server.bodies[0]["messages"][-1]["content"]
    assert "리포트 0" in asked
    assert "답변" in asked
    assert all(one["text"] in asked for one in judge.rubric()["criteria"])


def test_what_was_judged_is_not_asked_again(server: GenerationServer, tmp_path: Path) -> None:
    job = JobContext.local(tmp_path / "run")
    judge.run(params_for(server), LINES[:5], job)
    kept = job.scratch / "judged.jsonl"
    whole = kept.read_bytes()
    kept.write_bytes(whole[:-9])  # a crash within a line
    verdicts = judge.run(params_for(server), LINES, job)
    assert len(verdicts) == len(LINES)
    assert server.requests == len(LINES) + 1
    written = [json.loads(line) for line in kept.read_text("utf-8").splitlines()]
    assert len({(one["model"], one["case"]) for one in written}) == len(written) == len(LINES)


def test_passing_faults_are_waited_out(tmp_path: Path) -> None:
    faults = iter(["429", "500", "html", "cut"])
    with GenerationServer(lambda number: next(faults, "good")) as server:
        verdicts = judge.run(params_for(server), LINES, JobContext.local(tmp_path / "run"))
    assert all(one.scores == SCORES for one in verdicts)


def test_an_answer_without_scores_is_no_score(tmp_path: Path) -> None:
    with GenerationServer(lambda number: "invalid") as server:
        verdicts = judge.run(params_for(server), LINES[:1], JobContext.local(tmp_path / "run"))
    assert verdicts[0].scores == {}
    assert judge.means(verdicts) == {"base": {"reports": 0}}


@pytest.mark.parametrize("fault", ["401", "404", "500"])
def test_a_judge_that_does_not_answer_says_how_to_go_on(fault: str, tmp_path: Path) -> None:
    job = JobContext.local(tmp_path / "run")
    with (
        GenerationServer(lambda number: "good" if number < 2 else fault) as server,
        pytest.raises(StageError, match="the judge gives no answer") as failure,
    ):
        judge.run(params_for(server), LINES, job)
    assert f"haruon jobs resume {job.id}" in str(failure.value.do)
    assert KEY not in str(failure.value)
    assert KEY not in "".join(
        file.read_text("utf-8") for file in job.folder.rglob("*") if file.is_file()
    )


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[]", "null", '{"scores": 5}', opinion(warm=6), opinion(warm=0),
        opinion(warm="5"), opinion(warm=4.5), opinion(warm=True), opinion(warm=None),
        "[" * 100_000,
    ],
)  # fmt: skip
def test_scores_off_the_scale_are_not_read(text: str) -> None:
    assert judge.read(text) is None


def test_scores_are_read_from_the_words_around_them() -> None:
    found = judge.read(f"```json\n{opinion(warm=5)}\n```")
    assert found == (SCORES | {"warm": 5}, "차갑다")


def test_no_judge_is_asked_unless_one_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = default_settings("tiny").evaluate
    assert judge.configure(settings) is None
    named = settings.model_copy(update={"judge_model": "m", "judge_base_url": "ftp://x"})
    with pytest.raises(ConfigurationError) as failure:
        judge.configure(named)
    assert "generate." not in str(failure.value.as_dict())
    assert "evaluate.judge_base_url" in str(failure.value.as_dict())


def test_a_missing_key_is_named_before_the_work(
    server: GenerationServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("JUDGE_KEY")
    params = params_for(server).model_copy(update={"base_url": "https://api.openai.com/v1"})
    with pytest.raises(ConfigurationError) as failure:
        judge.require_key(params)
    assert "JUDGE_KEY" in str(failure.value.as_dict())
