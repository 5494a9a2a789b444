"""The comparison measures every file, whatever one of them does."""

from __future__ import annotations

import json
import shutil
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from haruon_tui.comparison import stage as compare_stage
from haruon_tui.comparison.benchmark import measure
from haruon_tui.dataset import golden, persona
from haruon_tui.errors import StageError, Stopped
from haruon_tui.gguf.convert import convert
from haruon_tui.gguf.probes import ANSWERS
from haruon_tui.gguf.quantize import quantize
from haruon_tui.jobs import events
from haruon_tui.jobs.context import JobContext
from haruon_tui.settings import build

from .broken_files import BROKEN
from .conftest import build_model, set_number

SPEED = {
    "prompt_tokens": 32,
    "generate_tokens": 8,
    "repeats": 3,
    "report_tokens": 12,
    "context": 1024,
}
QUICK = {**SPEED, "prompts": [persona.prompt_messages(ANSWERS)]}

Params = Callable[[list[Path]], compare_stage.Params]


@pytest.fixture(scope="session")
def files(tied_gguf: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """An F16 file, two quantized ones, and in their middle one that crashes llama.cpp."""
    folder = tmp_path_factory.mktemp("files")
    made = [folder / f"model.{name}.gguf" for name in ("F16", "Q4_0", "Q4_K_M", "Q8_0")]
    shutil.copy(tied_gguf, made[0])
    shutil.copy(tied_gguf, made[1])
    set_number(made[1], "qwen2.block_count", 0)
    quantize(tied_gguf, made[2], "Q4_K_M")
    quantize(tied_gguf, made[3], "Q8_0")
    return made


@pytest.fixture(scope="session")
def held_out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six golden reports, enough for a chunk of the tiny vocabulary."""
    path = tmp_path_factory.mktemp("held_out") / "eval.jsonl"
    lines = golden.reports_file().read_text("utf-8").splitlines(keepends=True)
    path.write_text("".join(lines[:6]), encoding="utf-8")
    return path


@pytest.fixture
def params(held_out: Path) -> Params:
    def of(files: list[Path]) -> compare_stage.Params:
        return compare_stage.Params(
            files=files,
            cases=golden.cases_file(),
            held_out=held_out,
            report_cases=2,
            quality_chunks=1,
            rules="calibrated",
            **SPEED,
        )

    return of


def test_a_crash_is_one_row_and_the_table_goes_on(
    files: list[Path], tmp_path: Path, params: Params
) -> None:
    job = JobContext.local(tmp_path / "run")
    rows = compare_stage.run(params(files), job).rows
    assert [row["type"] for row in rows] == ["F16", "Q4_0", "Q4_K_M", "Q8_0"]
    assert [row["loads"] for row in rows] == [True, False, True, True]
    assert "SIGABRT" in rows[1]["error"]
    for row, path in zip(rows, files, strict=True):
        assert row["bytes"] == path.stat().st_size
        if row["loads"]:
            assert row["load_seconds"] > 0
            assert row["load_cold_seconds"] > 0
            assert row["peak_rss_bytes"] > row["buffers"]["model"] > 0
            assert {"KV", "compute", "output"} <= set(row["buffers"])
            assert [made["tokens"] for made in row["reports"]] == [12, 12]
            assert not any(made["stopped"] for made in row["reports"])
            assert row["quality"]["chunks"] == 1
            for key, tokens in (("prompt", 32), ("generate", 8)):
                speed = row[key]
                assert speed["tokens"] == tokens
                assert len(speed["samples"]) == 3
                assert speed["mean"] == pytest.approx(statistics.fmean(speed["samples"]), rel=0.01)
                assert speed["sd"] == pytest.approx(
                    statistics.stdev(speed["samples"]), rel=0.01, abs=0.1
                )
    assert rows[0]["bits_per_weight"] == pytest.approx(16.02, abs=0.01)
    assert rows[2]["bits_per_weight"] < rows[3]["bits_per_weight"] < 9
    written = json.loads((job.artifacts / "comparison.json").read_text("utf-8"))
    assert all(made.pop("text") for row in written["rows"] for made in row["reports"])
    assert written["rows"] == rows
    assert written["repeats"] == 3


class StopsAt(JobContext):
    """A job that is asked to stop when it reaches `file`."""

    file: str

    def progress(self, done: float, total: float, *, phase: str = "", unit: str = "") -> None:
        super().progress(done, total, phase=phase, unit=unit)
        if phase.startswith(self.file):
            self.stop.set()


def test_a_resumed_comparison_keeps_its_rows(
    files: list[Path], tmp_path: Path, params: Params
) -> None:
    chosen = [files[0], files[3]]
    job = StopsAt.local(tmp_path / "run")
    assert isinstance(job, StopsAt)
    job.file = "model.Q8_0.gguf"
    with pytest.raises(Stopped):
        compare_stage.run(params(chosen), job)
    assert not (job.artifacts / "comparison.json").exists()
    kept = json.loads((job.scratch / "model.F16.gguf.row.json").read_text("utf-8"))["row"]
    seen = len(_progress(job.folder))

    job.file = "none"
    job.stop.clear()
    rows = compare_stage.run(params(chosen), job).rows
    for made in kept["reports"]:
        del made["text"]
    assert rows[0] == kept
    assert rows[1]["loads"]
    assert all("F16" not in event["phase"] for event in _progress(job.folder)[seen:])


def test_a_changed_file_is_measured_again(tied_gguf: Path, tmp_path: Path, params: Params) -> None:
    file = tmp_path / "model.F16.gguf"
    shutil.copy(tied_gguf, file)
    job = JobContext.local(tmp_path / "run")
    assert "error" not in compare_stage.run(params([file]), job).rows[0]
    set_number(file, "qwen2.block_count", 0)
    with pytest.raises(StageError, match="none of the files loads"):
        compare_stage.run(params([file]), job)


def _progress(folder: Path) -> list[dict[str, Any]]:
    found = events.EventReader(folder / "events.jsonl").read()
    return [event for event in found if event["kind"] == "progress"]


def test_progress_grows_to_the_end(files: list[Path]) -> None:
    seen: list[float] = []
    measure(files[0], **QUICK, progress=lambda share, phase: seen.append(share))
    assert seen == sorted(seen)
    assert len(seen) >= 8
    assert seen[0] == 0.0
    assert seen[-1] <= 1.0


def test_every_broken_or_hostile_file_is_one_row_with_a_reason(
    tied_gguf: Path, tmp_path: Path, params: Params
) -> None:
    whole = tied_gguf.read_bytes()
    named = {f"broken.{number}.gguf": damage for number, damage in enumerate(BROKEN.values())}
    for name, damage in named.items():
        (tmp_path / name).write_bytes(damage(whole))
    first, last = tmp_path / "model.F16.gguf", tmp_path / "model.Q8_0.gguf"
    shutil.copy(tied_gguf, first)
    quantize(tied_gguf, last, "Q8_0")
    chosen = [first, *(tmp_path / name for name in named), last]
    rows = compare_stage.run(params(chosen), JobContext.local(tmp_path / "run")).rows
    assert [row["file"] for row in rows] == [path.name for path in chosen]
    assert rows[0]["loads"]
    assert rows[-1]["quality"]["chunks"] == 1
    for row in rows[1:-1]:
        assert row["loads"] is False
        assert len(row["error"]) > 20
        assert "\n" not in row["error"]
        assert "Traceback" not in row["error"]


def test_without_a_first_file_the_others_say_why_they_have_no_quality(
    files: list[Path], tmp_path: Path, params: Params
) -> None:
    rows = compare_stage.run(params([files[1], files[3]]), JobContext.local(tmp_path / "run")).rows
    assert "SIGABRT" in rows[0]["error"]
    assert "no predictions to compare with" in rows[1]["no_quality"]
    assert rows[1]["generate"]["mean"] > 0


def test_a_prompt_longer_than_a_batch_is_answered(files: list[Path]) -> None:
    said = "걱정이 많습니다. " * 600
    row = measure(files[0], **SPEED, prompts=[[{"role": "user", "content": said}]])
    assert "error" not in row
    assert row["reports"][0]["tokens"] == 12


def test_peak_memory_is_that_of_the_measuring_process_alone(files: list[Path]) -> None:
    held = bytearray(b"x") * (1 << 30)
    row = measure(files[0], **QUICK)
    assert len(held) > row["peak_rss_bytes"] > row["buffers"]["model"]


def test_a_missing_file_is_a_row(tmp_path: Path) -> None:
    row = measure(tmp_path / "model.Q4_0.gguf", **QUICK)
    assert row["loads"] is False
    assert "No such file" in row["error"]


def test_stopping_at_the_end_of_the_turn_is_seen(tmp_path: Path) -> None:
    """A model that ends its turn at once: every embedding points where <|im_end|> is read."""

    def silence(model: Any) -> None:
        for name, weight in model.named_parameters():
            if name.endswith(("o_proj.weight", "down_proj.weight")):
                weight.zero_()
        model.get_input_embeddings().weight[:, 0] = 5.0
        model.lm_head.weight.zero_()
        model.lm_head.weight[602, 0] = 5.0

    convert(build_model(tmp_path / "model", tied=False, change=silence), tmp_path / "m.F16.gguf")
    row = measure(tmp_path / "m.F16.gguf", **QUICK)
    assert row["reports"] == [{"text": "", "tokens": 0, "stopped": True}]


def test_a_complete_report_is_recognised(
    files: list[Path], tmp_path: Path, params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = [f"{trait.heading}: 높음\n새로운 일을 즐기십니다." for trait in persona.TRAITS]
    end = f"{persona.SUMMARY}\n고른 성향이 보입니다."
    report = "\n\n".join([persona.TITLE, persona.OPENING, *parts, end])
    half = report.replace("### 외향성", "외향성")

    def written(path: Path, **_: Any) -> dict[str, Any]:
        texts = [report, half] if "F16" in path.name else [half, half]
        made = [{"text": text, "tokens": 9, "stopped": True} for text in texts]
        return measure(path, **QUICK) | {"reports": made}

    monkeypatch.setattr(compare_stage, "measure", written)
    job = JobContext.local(tmp_path / "run")
    rows = compare_stage.run(params([files[0], files[3]]), job).rows
    assert [compare_stage.complete_reports(row) for row in rows] == [1, 0]
    assert len({made["case"] for row in rows for made in row["reports"]}) == 2


def test_the_baseline_is_computed_once_and_every_row_reads_it(
    files: list[Path], tmp_path: Path, params: Params
) -> None:
    job = JobContext.local(tmp_path / "run")
    rows = compare_stage.run(params([files[0], files[2], files[3]]), job).rows
    divergence = [row["quality"]["divergence"][0] for row in rows]
    assert divergence[0] < 1e-6 < divergence[2] < divergence[1]
    written = sorted(job.scratch.glob("baseline*"))
    assert len(written) == 2
    assert (
        written[0].stat().st_mtime_ns
        < (job.scratch / f"{files[2].name}.row.json").stat().st_mtime_ns
    )


def test_a_text_too_short_for_quality_leaves_the_rest_of_the_row(
    files: list[Path], tmp_path: Path, params: Params
) -> None:
    empty = tmp_path / "eval.jsonl"
    empty.write_text("")
    wanted = params([files[3]]).model_copy(update={"held_out": empty})
    row = compare_stage.run(wanted, JobContext.local(tmp_path / "run")).rows[0]
    assert "tokens" in row["no_quality"]
    assert row["generate"]["mean"] > 0


def test_the_settings_say_what_is_measured() -> None:
    class Inputs:
        def artifact(self, stage: str, name: str) -> Path:
            return Path("/runs") / stage / name

    settings = build({"profile": "tiny", "gguf": {"quantize": ["Q8_0"], "repeats": 2}})
    made = compare_stage.configure(settings, Inputs())
    assert made.files == [
        Path("/runs/convert/model.F16.gguf"),
        Path("/runs/quantize/model.Q8_0.gguf"),
    ]
    assert made.cases == Path("/runs/dataset/cases.jsonl")
    assert made.held_out == Path("/runs/dataset/eval.jsonl")
    assert (made.quality_chunks, made.report_cases) == (8, 8)
    assert (made.prompt_tokens, made.generate_tokens, made.repeats) == (512, 128, 2)
    assert made.report_tokens == settings.evaluate.max_new_tokens
