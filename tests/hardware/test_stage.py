import json
from pathlib import Path

import pytest

from haruon_tui.errors import CheckFailed
from haruon_tui.hardware import stage
from haruon_tui.jobs.context import JobContext
from haruon_tui.settings import default_settings


class NoInputs:
    def artifact(self, stage: str, name: str) -> Path:
        raise AssertionError("the hardware stage has no inputs")


def test_a_machine_that_suits_leaves_hardware_json(no_gpu: None, tmp_path: Path) -> None:
    job = JobContext.local(tmp_path)
    params = stage.configure(default_settings("tiny"), NoInputs())
    result = stage.run(params, job)
    written = json.loads((job.artifacts / "hardware.json").read_text("utf-8"))
    assert len(written["rows"]) == sum(result.verdicts.values())
    assert "fails" not in result.verdicts


def test_a_machine_that_does_not_suit_stops_the_pipeline(no_gpu: None, tmp_path: Path) -> None:
    job = JobContext.local(tmp_path)
    params = stage.configure(default_settings("qwen2-1.5b"), NoInputs())
    with pytest.raises(CheckFailed, match="GPU: none") as failure:
        stage.run(params, job)
    assert 'profile = "tiny"' in (failure.value.do or "")
    assert (job.artifacts / "hardware.json").exists()
