"""The pipeline from the command line: the embedded default, and what is done again when."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from haruon_tui.stage import PIPELINE
from tests.e2e.terminal import HARUON
from tests.handover.walk import require_true


def haruon(folder: Path, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [HARUON, *arguments], cwd=folder, capture_output=True, text=True, **options
    )


def document(folder: Path, *arguments: str) -> Any:
    """The JSON of a command that must succeed."""
    result = haruon(folder, *arguments, "--json")
    assert result.returncode == 0, result.stdout + result.stderr
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """`make demo`'s two commands, without a terminal."""
    folder = tmp_path_factory.mktemp("demo") / "작업"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARUON_STATE_DIR", str(tmp_path_factory.mktemp("tickets")))
        assert haruon(folder.parent, "init", str(folder)).returncode == 0
        done = haruon(folder, "pipeline")
        assert done.returncode == 0, done.stderr
        assert "result:" in done.stdout
        for stage in PIPELINE:
            assert f"\n{stage}" in done.stdout
        yield folder


def test_the_tuned_model_writes_reports_and_the_base_does_not(demo):
    figures = document(demo, "evaluate")["result"]["models"]
    base, tuned = figures["base"]["groups"], figures["tuned"]["groups"]
    assert base["all"]["complete"]["rate"] < 0.10
    assert tuned["all"]["complete"]["rate"] >= 0.95
    assert tuned["held-out combinations"]["complete"]["rate"] >= 0.95
    assert tuned["held-out combinations"]["levels_exact"]["rate"] >= 0.85
    assert tuned["held-out combinations"]["cases"] >= 20
    assert tuned["held-out sentences"]["cases"] >= 20
    texts = (
        (Path(document(demo, "evaluate")["artifacts"]) / "generations.jsonl")
        .read_text()
        .splitlines()
    )
    assert len(texts) == 2 * tuned["all"]["cases"]


def test_hugging_face_and_f16_figures_agree_within_their_intervals(demo):
    asked = ("--model", "tuned", "--model", "F16", "--set", "evaluate.limit=12")
    models = document(demo, "evaluate", *asked)["result"]["models"]
    folder, gguf = (models[name]["figures"]["all"] for name in ("tuned", "F16"))
    assert folder["complete"]["mean"] > 0.8
    for key, one in folder.items():
        other = gguf[key]
        assert other["low"] <= one["mean"] <= other["high"], key
        assert one["low"] <= other["mean"] <= one["high"], key


def test_the_conversion_has_proved_itself(demo):
    converted = document(demo, "gguf", "convert")
    checks = converted["result"]["checks"]
    assert checks
    assert all(check["ok"] for check in checks)
    merged = document(demo, "merge")["artifacts"]
    again = document(
        demo,
        "gguf", "verify", f"{converted['artifacts']}/model.F16.gguf",
        "--against", f"{merged}/model",
    )  # fmt: skip
    assert all(check["ok"] for check in again)


def test_every_quantized_file_loads_stops_by_itself_and_is_measured(demo):
    rows = document(demo, "gguf", "compare")["result"]["rows"]
    assert [row["type"] for row in rows] == ["F16", "Q4_0", "Q4_1", "Q4_K_M", "Q5_K_M", "Q8_0"]
    for row in rows:
        assert row["loads"], row
        assert all(made["stopped"] for made in row["reports"]), row
        assert len(row["reports"]) == 8
        assert row["quality"]["tokens"] > 0
        assert row["prompt"]["mean"] > 0
        assert row["generate"]["mean"] > 0
        assert len(row["generate"]["samples"]) == 5


@pytest.mark.parametrize("file_type", ["Q4_0", "Q4_1", "Q4_K_M", "Q5_K_M", "Q8_0"])
def test_a_quantized_file_answers_a_case_with_a_report(demo, file_type):
    answer = document(demo, "chat", file_type, "--case", "first")
    assert answer["reason"] == "stop"
    assert answer["text"].startswith("## Big5")
    assert "## 종합 의견" in answer["text"]
    assert "<|im_end|>" not in answer["text"]


def test_the_model_card_says_only_what_the_manifests_say(demo):
    told = document(demo, "export", "card")
    require_true(told["text"], told["values"], demo / "runs")
    assert "| tuned |" in told["text"]
    assert told["notes"] == []


def test_running_the_pipeline_again_only_says_that_nothing_is_to_do(demo):
    before = sorted(path.name for path in (demo / "runs").iterdir())
    again = haruon(demo, "pipeline")
    assert again.returncode == 0
    assert "nothing to do" in again.stderr
    assert sorted(path.name for path in (demo / "runs").iterdir()) == before


def test_a_changed_training_parameter_reruns_training_and_what_follows_and_nothing_before(
    quick_workspace,
):
    folder = quick_workspace.folder
    file = quick_workspace.file
    file.write_text(
        file.read_text().replace("epochs = 4", "epochs = 0.5")
        + "[evaluate]\nlimit = 1\nmax_new_tokens = 16\n"
        + "[gguf]\nprompt_tokens = 16\ngenerate_tokens = 8\nrepeats = 1\nquality_chunks = 1\n"
        + "report_cases = 1\n"
        + "[chat]\nmax_tokens = 16\n"
    )
    first = {row["stage"]: row for row in document(folder, "pipeline")["result"]["stages"]}
    assert {row["how"] for row in first.values()} == {"new"}
    file.write_text(file.read_text().replace("alpha = 16", "alpha = 8"))
    second = {row["stage"]: row for row in document(folder, "pipeline")["result"]["stages"]}
    before = PIPELINE.index("train")
    assert {second[name]["how"] for name in PIPELINE[:before]} == {"reused"}
    assert {second[name]["how"] for name in PIPELINE[before:]} == {"new"}
    assert document(folder, "pipeline")["how"] == "reused"
