"""An evaluation shared by two processes comes to what one comes to, whatever ends in between."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from haruon_tui.evaluation import stage
from haruon_tui.jobs import launch
from haruon_tui.jobs.events import EventReader
from haruon_tui.jobs.store import Run, State, Store
from haruon_tui.launching.supervise import is_running, log_of
from haruon_tui.workspace import Workspace
from tests.evaluation.test_kill import batches, figures, until, written


@pytest.fixture
def params(gguf_model: tuple[Path, Path], many_cases: Path) -> stage.Params:
    return stage.Params(
        names=["tuned", "quantized"],
        models=[gguf_model[0], gguf_model[1]],
        cases=[many_cases],
        max_new_tokens=24,
        batch_size=2,
    )


def events(path: Path) -> list[dict[str, Any]]:
    return EventReader(path).read() if path.exists() else []


def kept_by(run: Run, rank: int) -> int:
    path = run.folder / "scratch" / f"generations-of-rank-{rank}.jsonl"
    return len(path.read_bytes().splitlines()) if path.exists() else 0


def pid_of(run: Run, rank: int) -> int | None:
    started = [e for e in events(log_of(run.folder, rank)) if e["kind"] == "running"]
    return int(started[-1]["pid"]) if started else None


def test_two_processes_come_to_the_figures_of_one_and_a_killed_one_is_named_and_made_up_for(
    workspace: Workspace, params: stage.Params
) -> None:
    store = Store(workspace.runs)
    alone = launch.submit(workspace, store, "evaluate", params).run
    undisturbed = written(alone)
    assert len({(line["model"], line["case"]) for line in undisturbed}) == len(undisturbed) == 24

    shared = params.model_copy(update={"processes": 2})
    run = launch.submit(workspace, store, "evaluate", shared).run
    until(lambda: pid_of(run, 1), "rank 1 does not start")
    second = pid_of(run, 1)
    assert second
    os.kill(second, signal.SIGSTOP)
    until(lambda: kept_by(run, 0), "rank 0 writes nothing")
    os.kill(second, signal.SIGKILL)
    until(lambda: not run.status().state.active, "the job does not end")
    status = run.status()
    assert status.state is State.FAILED
    assert "rank 1 of 2" in json.dumps(status.error)
    assert "SIGKILL" in json.dumps(status.error)
    first = pid_of(run, 0)
    assert first
    until(lambda: not is_running(first), "rank 0 lives on")
    assert batches(run) == 0
    before = kept_by(run, 0)
    assert before

    launch.resume(workspace, run)
    assert written(run) == undisturbed
    assert figures(run) == figures(alone)
    assert batches(run) == 12, "each batch of either model was kept once"
    assert kept_by(run, 0) == kept_by(run, 1) == 0
    said = [event["text"] for event in events(run.log) if event["kind"] == "log"]
    assert any("2 processes write every second batch: " in text for text in said)
    assert any("in one process, which takes all cores" in text for text in said)
    told = [event for event in events(run.log) if event["kind"] == "progress"]
    assert any(event["phase"] == "tuned" and event["done"] for event in told)
