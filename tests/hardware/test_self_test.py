"""The self-test: real figures, against known peaks, as a job that can be stopped."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from haruon_tui.errors import Stopped
from haruon_tui.hardware import peaks, self_test
from haruon_tui.hardware.self_test import Measured, Params, line
from haruon_tui.jobs import launch
from haruon_tui.jobs.context import JobContext
from haruon_tui.jobs.store import State, Store
from haruon_tui.workspace import Workspace
from tests.jobs.conftest import wait_until

SHORT = Params(seconds=0.05, array_bytes=4 << 20, disk_bytes=4 << 20)
CPU_TESTS = ["matrix product fp32", "matrix product bf16", "memory copy", "memory triad"]


def test_every_device_is_measured_and_the_disk_is_left_as_it_was(tmp_path: Path) -> None:
    job = JobContext.local(tmp_path / "run")
    result = self_test.run(SHORT, job)
    on_cpu = [one for one in result.measured if one.device.startswith("CPU")]
    assert [one.what for one in on_cpu] == CPU_TESTS
    assert result.measured[-1].device == "disk"
    for one in result.measured:
        assert one.problem == ""
        assert one.value is not None
        assert one.value > 0
        assert one.peak is None or one.note, "a peak says where it is from"
    assert json.loads((job.artifacts / "selftest.json").read_text("utf-8"))
    assert list(job.scratch.iterdir()) == []


def test_what_cannot_be_measured_says_why_and_the_rest_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> float:
        raise RuntimeError("no such kernel")

    monkeypatch.setattr(self_test, "_matrix", refuse)
    result = self_test.run(SHORT, JobContext.local(tmp_path / "run"))
    first = result.measured[0]
    assert (first.value, first.problem) == (None, "RuntimeError: no such kernel")
    assert "N/A (RuntimeError: no such kernel)" in line(first)
    assert result.measured[-1].value
    assert "could not be measured" in result.summary


def test_a_stop_ends_it_and_leaves_no_file(tmp_path: Path) -> None:
    job = JobContext.local(tmp_path / "run")
    job.stop.set()
    with pytest.raises(Stopped):
        self_test._disk(job.scratch, SHORT, job)
    assert list(job.scratch.iterdir()) == []
    with pytest.raises(Stopped):
        self_test.run(SHORT, job)


def test_it_runs_in_a_process_of_its_own_says_how_far_it_is_and_stops(
    workspace: Workspace,
) -> None:
    params = Params(seconds=60)
    run = launch.submit(workspace, Store(workspace.runs), "selftest", params, reuse=False).run

    def measuring() -> bool:
        progress = run.status().progress
        return progress is not None and "matrix product" in progress.phase

    wait_until(measuring, 60)
    assert launch.stop(run, 20) is State.STOPPED
    assert not (run.artifacts / "selftest.json").exists()


def test_naming_the_self_test_imports_no_torch() -> None:
    code = (
        "import sys; from haruon_tui.hardware import self_test;"
        "self_test.Params(); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("name", "bf16", "memory"),
    [
        ("NVIDIA H100 80GB HBM3", 989.4, 3352),
        ("NVIDIA H100 PCIe", 756, 2039),
        ("NVIDIA A100-SXM4-80GB", 312, 2039),
        ("NVIDIA A100-PCIE-40GB", 312, 1555),
        ("NVIDIA GeForce RTX 4090", 165.2, 1008),
        ("NVIDIA RTX 6000 Ada Generation", 364.2, 960),
        ("Tesla T4", None, 320),
        ("NVIDIA H100 80GB HBM3 MIG 1g.10gb", None, None),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", None, None),
        ("Some GPU of tomorrow", None, None),
    ],
)
def test_known_gpus_have_their_published_peaks(
    name: str, bf16: float | None, memory: float | None
) -> None:
    found = peaks.of_gpu(name)
    assert (found.bf16, found.memory) == (bf16, memory)
    assert bool(found.source) == (memory is not None)


def test_a_share_of_the_peak_is_told_with_its_source() -> None:
    one = Measured(
        device="GPU 0 (X)", what="copy", unit="GB/s", value=750, peak=1000, note="a datasheet"
    )
    assert line(one) == "GPU 0 (X): copy 750 GB/s, 75% of 1000 (a datasheet)"
