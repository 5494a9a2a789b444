"""What the monitor costs: the idle app without it, with its strip, and with its full screen,
beside a recorded `nvidia-smi` of two GPUs that is read every 5 s."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path

import pexpect

from bench.terminal import spawn
from haruon_tui.workspace import Workspace

_SECONDS = 60.0
_WATCHES = ("none", "strip", "screen")
_NVIDIA_SMI = """#!/bin/sh
for i in 0 1; do case "$1" in
*compute_cap*) echo "$i, 312.5, 450.00, 2520, 10501, 8.9, 0x0000000000000004" ;;
*compute-apps*) ;;
*) echo "$i, GPU-$i, 97, 24564, 23800, 764, 550.54, RTX 4090, [N/A], Disabled, Disabled, 71" ;;
esac; done
"""


def measure() -> dict[str, float]:
    """Percent of one core and MB over the app without a monitor."""
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "bin" / "nvidia-smi"
        program.parent.mkdir()
        program.write_text(_NVIDIA_SMI)
        program.chmod(0o755)
        path = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
        workspace = Workspace.init(Path(folder) / "workspace", "tiny").folder
        figures = {watch: _run(workspace, watch, path) for watch in _WATCHES}
    bare = figures["none"]
    result = {"bare_percent_of_a_core": _percent(bare["cpu_seconds"])}
    for watch in _WATCHES[1:]:
        more = figures[watch]["cpu_seconds"] - bare["cpu_seconds"]
        result[f"{watch}_percent_of_a_core"] = _percent(more)
        result[f"{watch}_mb"] = round((figures[watch]["uss"] - bare["uss"]) / 1e6, 1)
    return result


def _run(workspace: Path, watch: str, path: str) -> dict[str, float]:
    out = workspace / f"{watch}.json"
    script = str(Path(__file__).with_name("watched_app.py"))
    os.environ["PATH"] = path
    command = [sys.executable, script, str(workspace), str(_SECONDS), str(out), watch]
    child = spawn(command, workspace)
    child.timeout = _SECONDS + 60
    child.expect(pexpect.EOF)
    child.close()
    loaded: dict[str, float] = json.loads(out.read_text())
    return loaded


def _percent(seconds: float) -> float:
    return round(100 * seconds / _SECONDS, 2)
