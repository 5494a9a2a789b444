from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from haruon_tui.errors import StageError, Stopped
from haruon_tui.evaluation import stage
from haruon_tui.evaluation.generate import Generation
from haruon_tui.evaluation.kept import KeptGenerations
from haruon_tui.jobs.context import JobContext
from haruon_tui.jobs.events import EventReader, EventWriter
from haruon_tui.settings import default_settings


class Planned:
    def artifact(self, stage: str, name: str) -> Path:
        return Path("runs") / stage / name


class StopAfter(threading.Event):
    """A stop that is asked for after it was looked at so many times."""

    def __init__(self, looks: int) -> None:
        super().__init__()
        self._looks = looks

    def is_set(self) -> bool:
        self._looks -= 1
        return self._looks < 0


@pytest.fixture
def params(endless_model: Path, report_model: Path, cases_file: Path) -> stage.Params:
    return stage.Params(
        names=["base", "tuned"],
        models=[endless_model, report_model],
        cases=[cases_file],
        max_new_tokens=8,
        batch_size=2,
    )


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_base_and_tuned_are_scored_from_what_they_really_wrote(
    params: stage.Params, tmp_path: Path
) -> None:
    job = JobContext.local(tmp_path / "run")
    result = stage.run(params, job)

    assert result.cases == 5
    base, tuned = result.models["base"], result.models["tuned"]
    assert str(base.groups["all"].complete) == "0% (0/5)"
    assert str(tuned.groups["all"].complete) == "100% (5/5)"
    assert str(tuned.groups["held-out combinations"].levels_exact) == "100% (10/10)"
    assert str(base.groups["all"].stopped) == "0% (0/5)"
    assert base.tokens_per_second
    assert "base 0% (0/5), tuned 100% (5/5)" in result.summary
    written = json.loads((job.artifacts / "evaluation.json").read_text("utf-8"))
    assert written["models"]["tuned"]["groups"]["all"]["safe"] == {
        "hits": 5,
        "total": 5,
        "rate": 1.0,
    }
    generations = read_lines(job.artifacts / "generations.jsonl")
    assert len(generations) == 10
    assert generations[0]["text"] == "abababab"
    assert generations[-1]["score"]["complete"] is True


def test_progress_is_told_per_model(params: stage.Params, tmp_path: Path) -> None:
    job = JobContext.local(tmp_path / "run")
    stage.run(params, job)
    told = [
        (event["phase"], event["done"])
        for event in EventReader(job.folder / "events.jsonl").read()
        if event["kind"] == "progress"
    ]
    assert [phase for phase, done in told if done == 5] == ["base", "tuned"]


def test_a_resumed_evaluation_writes_only_what_is_missing(
    params: stage.Params, tmp_path: Path
) -> None:
    first = tmp_path / "first"
    first.mkdir()
    stop = StopAfter(15)  # in the second batch of the base
    job = JobContext(first, EventWriter(first / "events.jsonl", attempt=1), stop=stop)
    with pytest.raises(Stopped):
        stage.run(params, job)
    before = read_lines(job.scratch / "generations.jsonl")
    assert [(line["model"], len(line["generations"])) for line in before] == [("base", 2)]

    again = JobContext.local(tmp_path / "again")
    shutil.copytree(job.scratch, again.scratch, dirs_exist_ok=True)
    stage.run(params, again)
    after = read_lines(again.scratch / "generations.jsonl")
    assert after[:1] == before
    assert Counter(line["model"] for line in after) == {"base": 3, "tuned": 3}
    made = [(line["model"], one["case"]) for line in after for one in line["generations"]]
    assert len(made) == len(set(made)) == 10


def test_a_finished_model_is_not_even_loaded_again(params: stage.Params, tmp_path: Path) -> None:
    job = JobContext.local(tmp_path / "run")
    done = stage.run(params, job)
    again = JobContext.local(tmp_path / "again")
    shutil.copytree(job.scratch, again.scratch, dirs_exist_ok=True)
    gone = params.model_copy(update={"models": [tmp_path / "no", tmp_path]})
    assert stage.run(gone, again) == done


def test_a_line_cut_off_by_a_crash_is_made_again(tmp_path: Path) -> None:
    path = tmp_path / "generations.jsonl"
    made = Generation(case="c1", text="한글", prompt_tokens=3, tokens=2, stopped=True, seconds=0.5)
    KeptGenerations(path).add("base", "cpu", [made])
    whole = path.read_bytes()
    path.write_bytes(whole + whole[: whole.index("글".encode()) + 1])
    kept = KeptGenerations(path)
    assert kept.of("base") == {"c1": made}
    kept.add("tuned", "cpu", [made])
    assert KeptGenerations(path).of("tuned") == {"c1": made}
    assert len(read_lines(path)) == 2


def test_a_missing_model_folder_is_named(params: stage.Params, tmp_path: Path) -> None:
    wrong = params.model_copy(update={"models": [tmp_path / "none", tmp_path]})
    with pytest.raises(StageError, match="cannot be loaded") as failure:
        stage.run(wrong, JobContext.local(tmp_path / "run"))
    assert failure.value.where == str(tmp_path / "none")


def test_params_come_from_the_settings_and_the_stages_before() -> None:
    params = stage.configure(default_settings("tiny"), Planned())
    assert params.names == ["base", "tuned"]
    assert params.models == [Path("runs/model/model"), Path("runs/merge/model")]
    assert params.cases == [Path("runs/dataset/cases.jsonl")]
    assert (params.max_new_tokens, params.batch_size, params.limit) == (320, 32, 0)


def test_the_stage_module_imports_no_heavy_library() -> None:
    code = (
        "import sys; import haruon_tui.evaluation.stage\n"
        "print(sorted({'torch', 'transformers', 'kiwipiepy', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
