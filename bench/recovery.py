"""A training killed with -9 at ten moments, each time resumed: does it end as if nothing had been?

Moments: before the first step, in the first step, while a checkpoint is written (three times, at
different points of it), between a checkpoint and its evaluation, after the evaluation, and steps
drawn at random. The undisturbed training and the eleven others are of the same tiny base and data.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from haruon_tui import artifacts
from haruon_tui.jobs import launch
from haruon_tui.jobs.curve import Curves
from haruon_tui.jobs.events import Event, EventReader
from haruon_tui.jobs.liveness import is_alive
from haruon_tui.jobs.store import Run, State, Store
from haruon_tui.planning import plan
from haruon_tui.workspace import Workspace

_HARUON = str(Path(sys.executable).with_name("haruon"))
_SETTINGS = """profile = "tiny"
[dataset]
compose = 60
golden = false
[train]
epochs = 2
batch_size = 4
eval_every = 5
log_every = 1
sample_every = 0
keep_checkpoints = 2
"""
_METRICS = ("loss", "eval_loss", "grad_norm", "learning_rate")
_SECONDS = 300.0
Moment = Callable[[Run], bool]


def measure() -> dict[str, Any]:
    """For each moment the step reached before it and whether the end was the same."""
    chooser = random.Random(5)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HARUON_STATE_DIR"] = str(Path(folder) / "state")
        workspace = Workspace.init(Path(folder) / "workspace", "tiny")
        workspace.file.write_text(_SETTINGS, "utf-8")
        command = [_HARUON, "pipeline", "--to", "model", "--json"]
        subprocess.run(command, cwd=workspace.folder, check=True, stdout=subprocess.DEVNULL)
        workspace = Workspace.find(workspace.folder)
        whole = _start(workspace)
        _wait(lambda: not whole.status().state.active)
        expected = _end(whole)
        rows = [
            {"moment": name, **_disturbed(workspace, moment, expected)}
            for name, moment in _moments(chooser, expected["steps"])
        ]
    return {
        "steps": expected["steps"],
        "final_loss": expected["loss"],
        "moments": rows,
        "all_the_same": all(row["same"] for row in rows),
    }


def _moments(chooser: random.Random, steps: int) -> Iterator[tuple[str, Moment]]:
    yield "before the first step", lambda run: _reached(run) == 0
    yield "in the first step", _after(lambda run: _reached(run) == 0, chooser.uniform(0.02, 0.1))
    for delay in (0.0, 0.01, 0.03):
        yield f"{delay * 1000:.0f} ms into writing a checkpoint", _after(_writing, delay)
    yield "between a checkpoint and its evaluation", lambda run: _last(run) == "checkpoint"
    yield "after an evaluation", _evaluated
    for step in sorted(chooser.sample(range(2, steps), 3)):
        yield f"at random: step {step}", _after(_at(step), chooser.uniform(0.0, 0.2))


def _disturbed(workspace: Workspace, moment: Moment, expected: dict[str, Any]) -> dict[str, Any]:
    run = _start(workspace)
    _wait(lambda: moment(run) or not run.status().state.active, 0.001)
    identity = run.status().identity
    assert identity is not None
    os.killpg(identity.pid, signal.SIGKILL)
    _wait(lambda: not is_alive(identity))
    state, reached = run.status().state, _reached(run)
    assert state is State.CRASHED, f"the moment never came: {state}"
    launch.resume(workspace, run)
    _wait(lambda: not run.status().state.active)
    found = _end(run)
    same = {name: found[name] == expected[name] for name in expected}
    wrong = [name for name, equal in same.items() if not equal]
    return {"reached": reached, "same": not wrong, **({"differs": wrong} if wrong else {})}


def _start(workspace: Workspace) -> Run:
    store = Store(workspace.runs)
    params = plan(workspace, store)["train"].params
    run = launch.submit(workspace, store, "train", params, reuse=False, fresh=True).run
    _wait(lambda: run.status().identity is not None)
    return run


def _end(run: Run) -> dict[str, Any]:
    """What the undisturbed training and a resumed one have to share."""
    status = run.status()
    assert status.state is State.FINISHED, f"{run.id} is {status.state}: {status.last}"
    assert status.last is not None
    result = status.last["result"]
    curves = Curves()
    curves.feed(_events(run))
    return {
        "steps": result["steps"],
        "loss": result["final_loss"],
        "adapter": artifacts.digest(run.artifacts / "adapter" / "adapter_model.safetensors"),
        "curves": {name: curves.series(name) for name in _METRICS},
    }


def _events(run: Run) -> list[Event]:
    reader, found = EventReader(run.log), []
    while block := reader.read():
        found += block
    return found


def _reached(run: Run) -> int | None:
    """The last step that this run has reported; None before training."""
    done = [
        event["done"]
        for event in _events(run)
        if event["kind"] == "progress" and event.get("phase") == "training"
    ]
    return int(done[-1]) if done else None


def _last(run: Run) -> str:
    events = _events(run)
    return str(events[-1]["kind"]) if events else ""


def _evaluated(run: Run) -> bool:
    return any("eval_loss" in e["values"] for e in _events(run) if e["kind"] == "metric")


def _writing(run: Run) -> bool:
    folder = run.folder / "scratch" / "checkpoints" / ".unfinished"
    return folder.is_dir() and any(folder.iterdir())


def _at(step: int) -> Moment:
    return lambda run: (_reached(run) or 0) >= step


def _after(moment: Moment, seconds: float) -> Moment:
    def waited(run: Run) -> bool:
        if not moment(run):
            return False
        time.sleep(seconds)
        return True

    return waited


def _wait(holds: Callable[[], bool], every: float = 0.02) -> None:
    deadline = time.monotonic() + _SECONDS
    while not holds():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(every)
