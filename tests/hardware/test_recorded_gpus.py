"""A recorded `nvidia-smi` with two GPUs, one nearly full, one that tells little, values that
change: checks, memory estimate, choice of device and monitor show what it says, or say unknown."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from haruon_tui.hardware import libraries
from haruon_tui.hardware.checks import check_machine
from haruon_tui.hardware.examination import examine
from haruon_tui.hardware.gpu_state import read_gpu_states
from haruon_tui.hardware.gpu_wait import memory_of
from haruon_tui.hardware.memory_plan import plan_memory
from haruon_tui.hardware.monitor import Monitor
from haruon_tui.hardware.row import Row
from haruon_tui.jobs.context import JobContext
from haruon_tui.settings import build, default_settings

QWEN = default_settings("qwen2-1.5b")
SMALL = build(
    {"profile": "qwen2-1.5b", "train": {"method": "qlora", "batch_size": 1, "max_length": 512}}
)
RECORDED = """
used=$(cat "$(dirname "$0")/used")
case "$1" in
*compute_cap*)
    echo "0, 312.5, 450.00, 2520, 10501, 8.9, 0x0000000000000004"
    echo "1, [N/A], [N/A], [N/A], [N/A], 7.5, [N/A]" ;;
*compute-apps*) echo "GPU-a, 99994242, 22800, /usr/bin/학습" ;;
*)
echo "0, GPU-a, 97, 24564, $used, 764, 520.61.05, NVIDIA RTX 4090, [N/A], No, No, 71"
echo "1, GPU-b, [N/A], [N/A], [N/A], [N/A], 520.61.05, NVIDIA GB10, [N/A], No, No, 40"
    ;;
esac
"""


@pytest.fixture
def used(nvidia_smi: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file with what GPU 0 has in use, in MiB."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    nvidia_smi(RECORDED)
    file = tmp_path / "bin" / "used"
    file.write_text("23800")
    return file


def rows_of(settings: Any, folder: Path) -> dict[str, Row]:
    return {row.key: row for row in check_machine(settings, folder)}


def test_the_checks_show_the_gpus_and_what_is_wrong_with_them(
    used: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("haruon_tui.hardware.accelerator.torch_cuda", lambda: "12.8")
    rows = rows_of(SMALL, tmp_path)
    assert rows["gpu"].found == "0: NVIDIA RTX 4090, 24.0 GiB; 1: NVIDIA GB10, memory N/A"
    assert rows["vram"].found == "0: 0.7 GiB free of 24.0 GiB; 1: N/A"
    assert rows["vram"].verdict == "warning"
    assert rows["processes"].found == "GPU 0: pid 99994242 (학습) 22.3 GiB"
    assert rows["processes"].verdict == "warning"
    assert rows["driver"].found == "520.61.05, CUDA 11.8"
    assert rows["driver"].verdict == "fails"
    assert "525.60.13" in rows["driver"].needed
    assert rows["capability"].found == "0: 8.9, bf16 and flash attention; 1: 7.5, fp16"


def test_values_that_change_are_shown_by_every_reader(used: Path, tmp_path: Path) -> None:
    assert rows_of(SMALL, tmp_path)["vram"].verdict == "warning"
    plan, states = plan_memory(SMALL), read_gpu_states()
    assert plan is not None
    assert (plan.device, plan.fits) == ("GPU 0 (NVIDIA RTX 4090)", False)
    assert states.gpus[0].lines()[0] == "NVIDIA RTX 4090: 0.7 GiB of 24.0 GiB free, busy 97 %"
    assert states.gpus[1].lines()[0] == "NVIDIA GB10: N/A of N/A free, busy N/A"
    used.write_text("300")
    assert rows_of(SMALL, tmp_path)["vram"].verdict == "ok"
    plan, states = plan_memory(SMALL), read_gpu_states()
    assert plan is not None
    assert plan.fits
    assert "23.7 GiB of 24.0 GiB free" in states.gpus[0].lines()[0]
    watching = Monitor(gpu_seconds=0)
    first = watching.sample().gpus[0].memory_used
    used.write_text("301")
    second = watching.sample().gpus[0].memory_used
    assert (first, second) == (300 << 20, 301 << 20)


def test_the_memory_that_a_gpu_must_have_follows_the_recipe(used: Path, tmp_path: Path) -> None:
    needed = [rows_of(settings, tmp_path)["vram"] for settings in (QWEN, SMALL)]
    large, small = (float(row.needed.split()[0]) for row in needed)
    assert large > 24 > small
    assert needed[0].verdict == "warning", "an empty GPU 0 does with smaller batches"
    assert "of itself the training takes train.batch_size = " in (needed[0].do or "")
    fitting = {line.partition(" = ")[0] for line in needed[0].settings}
    assert fitting == {"train.batch_size", "train.accumulation"}
    strict = build({"profile": "qwen2-1.5b", "train": {"on_out_of_memory": "fail"}})
    assert rows_of(strict, tmp_path)["vram"].verdict == "fails"


def test_a_job_knows_how_much_memory_its_gpu_has(used: Path, tmp_path: Path) -> None:
    job = JobContext.local(tmp_path / "run")
    assert memory_of(job) is None
    job.devices = ("gpu0",)
    assert memory_of(job) == 24564 << 20
    job.devices = ("gpu1",)
    assert memory_of(job) is None


HANG = "exec sleep 30"


@pytest.mark.parametrize(
    ("script", "words"),
    [("echo garbage", "unreadable"), ("true", "no GPU"), (HANG, "did not answer")],
)
def test_a_driver_in_trouble_is_unknown_within_three_seconds_and_stops_nothing_else(
    nvidia_smi: Any, tmp_path: Path, script: str, words: str
) -> None:
    libraries.llama_cpp(libraries.Reading(), 30)  # once, so that its answer is known
    nvidia_smi(script)
    started = time.monotonic()
    found = examine(QWEN, tmp_path)
    assert time.monotonic() - started < 3
    rows = {row.key: row for row in found.rows}
    unknown = ("gpu", "vram", "processes", "driver", "capability")
    for key in unknown:
        assert rows[key].found.startswith("unknown: "), rows[key]
        assert words in rows[key].found
    others = [row for row in found.rows if row.key not in unknown]
    assert [row for row in others if row.found.startswith("unknown")] == []
    assert found.memory is not None
    assert (found.memory.free, found.memory.fits) == (None, None)
    started = time.monotonic()
    states = read_gpu_states()
    assert (states.gpus, words in str(states.problem)) == ([], True)
    assert Monitor().sample().gpu_problem == states.problem
    assert time.monotonic() - started < 6
