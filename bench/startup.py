"""`haruon --help`, and the first frame against a bare Textual app, interleaved in one run."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.terminal import seconds_until
from haruon_tui.workspace import Workspace

_REPEATS = 9
_HARUON = str(Path(sys.executable).with_name("haruon"))


def measure() -> dict[str, float]:
    """Medians in seconds, and the ratio of the first frames."""
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace.init(Path(folder), "tiny").folder
        bare_app = [sys.executable, str(Path(__file__).with_name("bare_app.py"))]
        helps, bare, own = [], [], []
        for _ in range(_REPEATS):
            started = time.perf_counter()
            subprocess.run([_HARUON, "--help"], check=True, stdout=subprocess.DEVNULL)
            helps.append(time.perf_counter() - started)
            bare.append(seconds_until(bare_app, "bare app is here", workspace))
            own.append(seconds_until([_HARUON], "Hardware", workspace))
    return {
        "help_seconds": round(statistics.median(helps), 3),
        "bare_first_frame_seconds": round(statistics.median(bare), 3),
        "haruon_first_frame_seconds": round(statistics.median(own), 3),
        "first_frame_ratio": round(statistics.median(own) / statistics.median(bare), 2),
    }
