"""The dataset browser on a JSONL file of 1 GB: first page, last record, search, memory, and how
late the event loop wakes meanwhile."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import pexpect

from bench import big_dataset
from bench.terminal import spawn
from haruon_tui.workspace import Workspace

_SIZE = 1 << 30
_SECONDS = 300


def measure() -> dict[str, float]:
    """Seconds of each step in the real program, megabytes of its private memory, milliseconds
    of lateness. The file is removed afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace.init(Path(folder) / "workspace", "tiny").folder
        file = Path(folder) / "big.jsonl"
        big_dataset.make(file, _SIZE)
        out = Path(folder) / "figures.json"
        script = str(Path(__file__).with_name("browsing_app.py"))
        child = spawn([sys.executable, script, str(workspace), str(file), str(out)], workspace)
        child.timeout = _SECONDS
        child.expect(pexpect.EOF)
        child.close()
        figures = json.loads(out.read_text())
        figures["bytes"] = file.stat().st_size
    late = sorted(figures.pop("lateness"))
    return {
        **{name: round(value, 3) for name, value in figures.items()},
        "lateness_samples": len(late),
        "lateness_p50_ms": _milliseconds(late, 0.50),
        "lateness_p99_ms": _milliseconds(late, 0.99),
        "lateness_max_ms": _milliseconds(late, 1.0),
    }


def _milliseconds(values: list[float], share: float) -> float:
    return round(values[min(len(values) - 1, int(share * len(values)))] * 1000, 1)
