"""The dataset browser on a JSONL file of 1 GB: first page, last record, search, memory, and how
late the event loop wakes meanwhile. Beside them the same work without any program around it."""

from __future__ import annotations

import json
import mmap
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pexpect

from bench import big_dataset
from bench.terminal import spawn
from haruon_tui.workspace import Workspace

_SIZE = 1 << 30
_SECONDS = 300
_BLOCK = 4 << 20


def measure() -> dict[str, float]:
    """Seconds of each step in the real program, in a pseudo-terminal; megabytes of its private
    memory, and of that of its child processes; milliseconds of lateness. The file, which is in
    the page cache, is removed afterwards."""
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
        figures["reference_newline_index_seconds"] = _newline_index(file)
        figures["reference_mmap_search_seconds"] = _mmap_search(file)
    late = sorted(figures.pop("lateness"))
    return {
        **{name: round(value, 3) for name, value in figures.items()},
        "lateness_samples": len(late),
        "lateness_p50_ms": _milliseconds(late, 0.50),
        "lateness_p99_ms": _milliseconds(late, 0.99),
        "lateness_max_ms": _milliseconds(late, 1.0),
    }


def _newline_index(file: Path) -> float:
    """Seconds to find every newline with numpy."""
    started = time.perf_counter()
    buffer = np.empty(_BLOCK, np.uint8)
    with file.open("rb", buffering=0) as stream:
        at, found = 0, []
        while count := stream.readinto(buffer.data):
            found.append(np.flatnonzero(buffer[:count] == 10) + at)
            at += count
    np.concatenate(found)
    return time.perf_counter() - started


def _mmap_search(file: Path) -> float:
    """Seconds to look for a text that is not there in the mapped file."""
    started = time.perf_counter()
    with file.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as all_:
        assert all_.find("이 문장은 어느 기록에도 없습니다".encode()) < 0
    return time.perf_counter() - started


def _milliseconds(values: list[float], share: float) -> float:
    return round(values[min(len(values) - 1, int(share * len(values)))] * 1000, 1)
