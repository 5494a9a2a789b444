"""The memory estimate against the measured peak of real trainings of the tiny base, each in a
process of its own: resident memory at its peak minus what is resident after the imports."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from haruon_tui import profiles
from haruon_tui.hardware.architecture import TINY, Architecture
from haruon_tui.hardware.memory_estimate import DeviceKind, estimate
from haruon_tui.jobs.context import JobContext
from haruon_tui.model.tiny import cached_base
from haruon_tui.settings import TrainSettings

_STEPS = 3
CASES: tuple[tuple[int, dict[str, Any]], ...] = (
    (128, {"batch_size": 4}),
    (256, {"batch_size": 8}),
    (512, {"batch_size": 8}),
    (512, {"batch_size": 16}),
    (512, {"batch_size": 32}),
    (512, {"batch_size": 16, "precision": "fp32"}),
    (512, {"batch_size": 16, "gradient_checkpointing": True}),
    (256, {"batch_size": 8, "method": "full"}),
    (512, {"batch_size": 16, "method": "full"}),
    (512, {"batch_size": 16, "method": "full", "precision": "fp32"}),
    (512, {"batch_size": 16, "method": "full", "gradient_checkpointing": True}),
    (512, {"batch_size": 8, "method": "qlora"}),
    (512, {"batch_size": 16, "dropout": 0.1}),
    (512, {"batch_size": 16, "rank": 8}),
)
"""Length in tokens, and the settings that differ from the tiny profile's."""


def measure() -> dict[str, Any]:
    """MB by estimate and measured, their ratio in each case, and the largest deviation."""
    with tempfile.TemporaryDirectory() as folder:
        base = cached_base(JobContext.local(Path(folder) / "base"))
        rows = [tiny(base, length, changes, Path(folder)) for length, changes in CASES]
    peaks = [row["measured_mb"] for row in rows]
    return {
        "cases": rows,
        "span": round(max(peaks) / min(peaks), 1),
        "largest_deviation": max(abs(row["ratio"] - 1) for row in rows),
    }


def tiny(base: Path, length: int, changes: dict[str, Any], folder: Path) -> dict[str, Any]:
    """One case of the tiny base on the CPU: settings, estimate and measured peak."""
    values = profiles.values("tiny", "recommended")["train"]
    return {
        "length": length,
        **changes,
        **compare(base, TINY, {**values, **changes}, length, folder),
    }


def compare(
    base: Path,
    shape: Architecture,
    values: dict[str, Any],
    length: int,
    folder: Path,
    device: DeviceKind = "cpu",
) -> dict[str, Any]:
    """Estimate and measured peak of a training with these settings, and their ratio."""
    wanted = TrainSettings.model_validate({**values, "eval_every": 10**6})
    file = folder / "settings.json"
    file.write_text(wanted.model_dump_json())
    script = str(Path(__file__).with_name("memory_probe.py"))
    done = subprocess.run(
        [sys.executable, script, str(base), str(file), str(length), str(_STEPS)],
        env=os.environ | {"PYTHONPATH": _path()},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    estimated = estimate(shape, wanted, device=device, length=length).total
    return {
        "estimated_mb": round(estimated / 1e6),
        "measured_mb": round(found["peak"] / 1e6),
        "ratio": round(estimated / found["peak"], 3),
    }


def _path() -> str:
    """Where the probe imports from: this project first."""
    return os.pathsep.join(
        filter(None, (str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH")))
    )
