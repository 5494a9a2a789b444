from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from haruon_tui.chat import stage
from haruon_tui.dataset import persona
from haruon_tui.errors import ConfigurationError, StageError, Stopped
from haruon_tui.jobs.context import JobContext
from haruon_tui.jobs.events import EventWriter
from haruon_tui.settings import build, default_settings


class Planned:
    def artifact(self, stage: str, name: str) -> Path:
        return Path("runs") / stage / name


@pytest.fixture
def cases(tmp_path: Path) -> Path:
    keys = [trait.key for trait in persona.TRAITS]
    case = {
        "id": "first",
        "group": "held-out combinations",
        "answers": dict.fromkeys(keys, "답"),
        "levels": dict.fromkeys(keys, "중간"),
    }
    path = tmp_path / "cases.jsonl"
    path.write_text(json.dumps(case, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def params(model: Path, cases: Path) -> stage.Params:
    return stage.Params(
        model=model, cases=cases, context=4096, max_tokens=3000, temperature=0, top_p=0.95, seed=7
    )


def test_the_answer_to_the_first_case_is_kept(
    short_answer: Path, cases: Path, tmp_path: Path
) -> None:
    job = JobContext.local(tmp_path / "run")
    result = stage.run(params(short_answer, cases), job)
    answer = json.loads((job.artifacts / "answer.json").read_text("utf-8"))
    assert answer["text"] == "한글"
    assert (answer["stopped"], answer["complete"]) == (True, False)
    assert answer["case"]["id"] == result.case == "first"
    assert result.timings.generated_tokens == 6
    assert "incomplete report of 6 tokens that ended by itself" in result.summary


def test_a_stop_ends_the_stage_and_leaves_no_answer(
    endless_answer: Path, cases: Path, tmp_path: Path
) -> None:
    stop = threading.Event()

    class StopsAtTheFirstLog(JobContext):
        def log(self, text: str, level: str = "info") -> None:  # type: ignore[override]
            stop.set()

    folder = tmp_path / "run"
    folder.mkdir()
    job = StopsAtTheFirstLog(folder, EventWriter(folder / "events.jsonl", attempt=1), stop=stop)
    with pytest.raises(Stopped):
        stage.run(params(endless_answer, cases), job)
    assert not (job.artifacts / "answer.json").exists()


def test_a_missing_model_is_named(cases: Path, tmp_path: Path) -> None:
    with pytest.raises(StageError, match="no such file"):
        stage.run(params(tmp_path / "no.gguf", cases), JobContext.local(tmp_path / "run"))


def test_a_file_without_cases_is_named(short_answer: Path, tmp_path: Path) -> None:
    (tmp_path / "cases.jsonl").touch()
    with pytest.raises(ConfigurationError, match="no evaluation case"):
        stage.run(
            params(short_answer, tmp_path / "cases.jsonl"), JobContext.local(tmp_path / "run")
        )


def test_the_preferred_quantization_is_asked_else_the_first() -> None:
    chosen = stage.configure(default_settings("tiny"), Planned())
    assert chosen.model == Path("runs/quantize/model.Q4_K_M.gguf")
    settings = build({"profile": "tiny", "gguf": {"quantize": ["Q8_0", "Q4_0"]}})
    assert stage.configure(settings, Planned()).model == Path("runs/quantize/model.Q8_0.gguf")


def test_no_quantization_is_a_configuration_error() -> None:
    settings = build({"profile": "tiny", "gguf": {"quantize": []}})
    with pytest.raises(ConfigurationError, match="quantization"):
        stage.configure(settings, Planned())
