"""How late the event loop wakes while a training runs, and how long quitting takes then."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

import pexpect

from bench.terminal import spawn
from haruon_tui import planning
from haruon_tui.jobs import launch
from haruon_tui.jobs.store import Run, State, Store
from haruon_tui.stage import Params
from haruon_tui.workspace import Workspace

_SECONDS = 20.0
_SETTINGS = {"train": {"epochs": 100.0}, "dataset": {"compose": 200}}


def measure() -> dict[str, float]:
    """Lateness in milliseconds (p50, p99, max) with the training screen open; seconds to quit."""
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(Workspace.init(Path(folder), "tiny").folder, _SETTINGS)
        store = Store(workspace.runs)
        for stage in ("dataset", "model"):
            _wait(launch.submit(workspace, store, stage, _params(workspace, store, stage)).run)
        params = _params(workspace, store, "train")
        run = launch.submit(workspace, store, "train", params).run
        try:
            while run.status().progress is None:
                time.sleep(0.1)
            lateness = sorted(_lateness(workspace.folder))
            quit_seconds = _seconds_to_quit(workspace.folder)
            assert run.status().state is State.RUNNING
        finally:
            launch.kill(run)
    return {
        "samples": len(lateness),
        "p50_ms": _milliseconds(lateness, 0.50),
        "p99_ms": _milliseconds(lateness, 0.99),
        "max_ms": _milliseconds(lateness, 1.0),
        "quit_seconds": round(quit_seconds, 2),
    }


def _params(workspace: Workspace, store: Store, stage: str) -> Params:
    return planning.plan(workspace, store)[stage].params


def _wait(run: Run) -> None:
    while run.status().state.active:
        time.sleep(0.1)
    assert run.status().state is State.FINISHED, run.last_lines()


def _lateness(folder: Path) -> list[float]:
    out = folder / "lateness.json"
    script = str(Path(__file__).with_name("timed_app.py"))
    child = spawn([sys.executable, script, str(folder), str(_SECONDS), str(out)], folder)
    child.expect_exact("Hardware")
    child.send("4")
    child.timeout = _SECONDS + 30
    child.expect(pexpect.EOF)
    child.close()
    loaded: list[float] = json.loads(out.read_text())
    return loaded


def _seconds_to_quit(folder: Path) -> float:
    child = spawn([str(Path(sys.executable).with_name("haruon"))], folder)
    child.expect_exact("Hardware")
    time.sleep(2.0)  # let it settle with the job attached
    started = time.perf_counter()
    child.sendcontrol("q")
    child.expect(pexpect.EOF)
    child.wait()
    return time.perf_counter() - started


def _milliseconds(values: list[float], share: float) -> float:
    index = min(len(values) - 1, int(share * len(values)))
    return round(values[index] * 1000, 1)
