"""The dataset stage: what goes in, what is left out, and what it leaves behind."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from haruon_tui.dataset import golden, persona, records, rules, stage
from haruon_tui.errors import CheckFailed, ConfigurationError, StageError, Stopped
from haruon_tui.jobs.context import JobContext, read_manifest
from haruon_tui.jobs.events import tail
from haruon_tui.settings import build, default_settings
from haruon_tui.stage import STAGES

GOLDEN = [line.record for line in records.read(golden.reports_file()) if hasattr(line, "record")]


class NoInputs:
    def artifact(self, stage: str, name: str) -> Path:
        raise AssertionError("the dataset stage has no stage before it")


@pytest.fixture
def job(tmp_path: Path) -> JobContext:
    return JobContext.local(tmp_path / "run")


def params(**given: Any) -> stage.Params:
    return stage.Params(
        **{
            "golden_file": None,
            "compose": 0,
            "files": [],
            "cases_file": golden.cases_file(),
            "rules_file": rules.file_of("calibrated"),
            "eval_fraction": 0.25,
            "seed": 7,
            **given,
        }
    )


def artifact(job: JobContext, name: str) -> list[dict[str, Any]]:
    lines = (job.artifacts / name).read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def own_record(number: int) -> dict[str, Any]:
    record = copy.deepcopy(GOLDEN[number])
    question = record["messages"][1]["content"]
    record["messages"][1]["content"] = question.replace("1. 개방성: '", "1. 개방성: '음, ")
    record["metadata"] = {"id": f"own-{number}", "note": "kept by nobody"}
    return record


def test_golden_composed_and_own_records_become_train_eval_and_cases(
    job: JobContext, tmp_path: Path
) -> None:
    own = tmp_path / "own.jsonl"
    records.write(own, [own_record(0), own_record(1)])
    result = stage.run(params(golden_file=golden.reports_file(), compose=26, files=[own]), job)
    assert result.sources == {"golden": 100, "composed": 26, "file": 2}
    assert (result.train, result.eval, result.cases, result.left_out) == (96, 32, 40, 0)
    train, held_out = artifact(job, "train.jsonl"), artifact(job, "eval.jsonl")
    assert (len(train), len(held_out)) == (96, 32)
    assert artifact(job, "cases.jsonl") == golden.load_cases(golden.cases_file())
    ids = {record["metadata"]["id"] for record in train + held_out}
    assert len(ids) == 128
    assert {"own-0", "own-1", "golden-001"} <= ids
    for record in train + held_out:
        assert set(record) == {"messages", "metadata"}
        assert set(record["metadata"]) == {"id", "source", "levels"}
        assert len(record["metadata"]["levels"]) == len(persona.TRAITS)
    validation = json.loads((job.artifacts / "validation.json").read_text(encoding="utf-8"))
    assert validation["rule_set"] == "calibrated"
    assert validation["train"] == 96
    assert sum(validation["levels"]["openness"].values()) == 128
    manifest = read_manifest(job.artifacts)
    assert manifest
    assert set(manifest["artifacts"]) == {
        "train.jsonl",
        "eval.jsonl",
        "cases.jsonl",
        "validation.json",
    }
    assert any(event["kind"] == "progress" for event in tail(job.folder / "events.jsonl"))


def test_the_same_seed_gives_the_same_files(tmp_path: Path) -> None:
    written = []
    for name, seed in (("a", 7), ("b", 7), ("c", 8)):
        job = JobContext.local(tmp_path / name)
        stage.run(params(compose=20, seed=seed), job)
        written.append((job.artifacts / "train.jsonl").read_bytes())
    assert written[0] == written[1]
    assert written[0] != written[2]


def test_invalid_records_of_the_user_are_left_out_and_reported(
    job: JobContext, tmp_path: Path
) -> None:
    bad = own_record(1)
    bad["messages"][2]["content"] += " 당신은 우울증입니다."
    own = tmp_path / "own.jsonl"
    records.write(own, [own_record(0), bad, own_record(2)])
    own.write_text("{broken\n" + own.read_text(encoding="utf-8"), encoding="utf-8")
    result = stage.run(params(files=[own], eval_fraction=0.0), job)
    assert (result.train, result.eval, result.left_out) == (2, 0, 2)
    assert artifact(job, "eval.jsonl") == []
    validation = json.loads((job.artifacts / "validation.json").read_text(encoding="utf-8"))
    (file,) = validation["files"]
    assert (file["used"], file["valid"], file["unreadable"]) == (2, 2, 1)
    assert [found["line"] for found in file["findings"]] == [1, 3]
    assert validation["findings"]["stated-diagnosis"] == {"severity": "error", "count": 1}
    logged = [e["text"] for e in tail(job.folder / "events.jsonl") if e["kind"] == "log"]
    assert any(text.startswith(f"{own}:3: ") and "우울증입니다" in text for text in logged)


def test_a_file_without_one_valid_record_fails_the_check_and_leaves_nothing(
    job: JobContext, tmp_path: Path
) -> None:
    bad = own_record(1)
    bad["messages"][2]["content"] += " 당신은 우울증입니다."
    own = tmp_path / "own.jsonl"
    records.write(own, [bad])
    with pytest.raises(CheckFailed, match="우울증입니다") as error:
        stage.run(params(compose=5, files=[own]), job)
    assert error.value.where == f"{own}:1"
    assert not job.artifacts.exists()


def test_an_empty_file_fails_the_check(job: JobContext, tmp_path: Path) -> None:
    own = tmp_path / "own.jsonl"
    own.write_text("", encoding="utf-8")
    with pytest.raises(CheckFailed, match="no records"):
        stage.run(params(files=[own]), job)


def test_an_evaluation_case_among_the_users_records_is_not_trained_on(
    job: JobContext, tmp_path: Path
) -> None:
    case = golden.load_cases(golden.cases_file())[0]
    leaked = own_record(0)
    leaked["messages"][1]["content"] = persona.user_turn(case["answers"])
    report = leaked["messages"][2]["content"]
    leaked["messages"][2]["content"] = report.replace("'", "")  # quotes nothing that was not said
    own = tmp_path / "own.jsonl"
    records.write(own, [leaked, own_record(1)])
    result = stage.run(params(files=[own]), job)
    assert (result.train, result.left_out) == (1, 1)
    assert artifact(job, "train.jsonl")[0]["metadata"]["id"] == "own-1"
    records.write(own, [leaked])
    with pytest.raises(CheckFailed, match="evaluation case"):
        stage.run(params(files=[own]), job)


def test_a_golden_record_that_fails_is_our_own_fault(job: JobContext, tmp_path: Path) -> None:
    broken = copy.deepcopy(GOLDEN[0])
    broken["messages"][2]["content"] = "## 종합 의견"
    path = tmp_path / "golden.jsonl"
    records.write(path, [GOLDEN[1], broken])
    with pytest.raises(StageError) as error:
        stage.run(params(golden_file=path), job)
    assert error.value.where == f"{path}:2"


def test_the_literal_rules_say_that_our_own_records_cannot_pass_them(job: JobContext) -> None:
    with pytest.raises(CheckFailed, match="입니다") as error:
        stage.run(params(compose=3, rules_file=rules.file_of("guide")), job)
    assert error.value.do
    assert "calibrated" in error.value.do


def test_nothing_to_build_from_and_a_missing_file_are_configuration_errors(
    job: JobContext, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match="nothing to build"):
        stage.run(params(), job)
    with pytest.raises(ConfigurationError) as error:
        stage.run(params(files=[tmp_path / "missing.jsonl"]), job)
    assert error.value.where == str(tmp_path / "missing.jsonl")


@pytest.mark.parametrize(
    "source",
    [{"compose": 5}, {"files": [golden.reports_file()]}, {"golden_file": golden.reports_file()}],
)
def test_a_stop_is_obeyed(job: JobContext, source: dict[str, Any]) -> None:
    job.stop.set()
    with pytest.raises(Stopped):
        stage.run(params(**source), job)
    assert not job.artifacts.exists()


def test_a_stop_is_obeyed_in_a_file_of_broken_lines(job: JobContext, tmp_path: Path) -> None:
    own = tmp_path / "own.jsonl"
    own.write_text("{broken\n" * 3, encoding="utf-8")
    job.stop.set()
    with pytest.raises(Stopped):
        stage.run(params(files=[own]), job)


def test_each_profile_is_measured_by_its_own_cases(job: JobContext) -> None:
    tiny = stage.configure(default_settings("tiny"), NoInputs())
    assert (tiny.golden_file, tiny.cases_file) == (None, None)
    large = stage.configure(default_settings("qwen2-1.5b"), NoInputs())
    assert large.golden_file == golden.reports_file()
    assert large.cases_file == golden.cases_file()
    stage.run(tiny.model_copy(update={"compose": 10}), job)
    groups = {case["group"] for case in artifact(job, "cases.jsonl")}
    assert groups == {"held-out combinations", "held-out sentences"}


def test_files_stay_relative_to_the_workspace() -> None:
    settings = build({"dataset": {"files": ["mine/a.jsonl"], "rules": "guide"}})
    configured = stage.configure(settings, NoInputs())
    assert configured.files == [Path("mine/a.jsonl")]
    assert configured.rules_file == rules.file_of("guide")


def test_the_stage_module_is_light_to_import() -> None:
    heavy = "torch transformers trl peft datasets llama_cpp pandas pyarrow numpy kiwipiepy textual"
    code = (
        f"import sys, {STAGES['dataset'].module}; "
        f"print(sorted(set('{heavy}'.split()) & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
