"""The real program in a pseudo-terminal, driven by its keys, with real jobs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from haruon_tui import planning
from haruon_tui.jobs import launch
from haruon_tui.jobs.curve import Curves
from haruon_tui.jobs.events import EventReader
from haruon_tui.jobs.store import Run, State, Store
from haruon_tui.workspace import Workspace
from tests.e2e.terminal import HARUON, Terminal

STAGES = ("Hardware", "Dataset", "Model", "Train", "Evaluate", "GGUF", "Chat", "Jobs")


def ready_to_train(workspace: Workspace) -> Store:
    subprocess.run(
        [HARUON, "pipeline", "--to", "model", "--json"],
        cwd=workspace.folder,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return Store(workspace.runs)


def wait_for(condition, seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def newest(store: Store, stage: str) -> Run | None:
    return next(store.of_stage(stage), None)


def steps_of(run: Run, name: str = "loss") -> list[int]:
    curves = Curves()
    curves.feed(EventReader(run.log).read(1 << 30))
    return curves.series(name)[0]


@pytest.mark.parametrize(("columns", "lines"), [(80, 24), (200, 60)])
@pytest.mark.parametrize(
    "environment", [{}, {"NO_COLOR": "1"}, {"TERM": "xterm", "COLORTERM": ""}]
)
def test_every_stage_is_on_the_first_screen_with_its_key(workspace, columns, lines, environment):
    with Terminal(folder=workspace.folder, columns=columns, lines=lines, **environment) as tui:
        text = tui.until(lambda text: all(name in text for name in STAGES))
        assert "haruon" in text
        for key, name in zip("12345679", STAGES, strict=True):
            assert f"{key} {name}" in text
        tui.press("?")
        tui.until("Help")


@pytest.mark.parametrize("key", "12345679")
def test_a_key_pressed_before_the_engine_is_loaded_does_no_harm(workspace, key):
    with Terminal(folder=workspace.folder) as tui:
        tui.until("Hardware")
        tui.press(key)
        tui.until("to do")


def test_a_dataset_is_built_with_one_key_and_a_signal_says_that_it_is_done(quick_workspace):
    with Terminal(folder=quick_workspace.folder) as tui:
        tui.until("to do")
        tui.press("2")
        tui.until("(build and validate")
        tui.press("r")
        tui.until(lambda text: "✓ done" in text, seconds=60)
        tui.until(lambda _: b"\x1b]9;" in tui.raw and b"\x07" in tui.raw)


def test_two_programs_on_one_workspace_see_the_same_job_and_start_it_once(quick_workspace):
    with (
        Terminal(folder=quick_workspace.folder) as first,
        Terminal(folder=quick_workspace.folder) as second,
    ):
        for tui in (first, second):
            tui.until("to do")
            tui.press("2")
            tui.until("(build and validate")
        first.press("r")
        second.press("r")
        for tui in (first, second):
            tui.until(lambda text: "✓ done" in text, seconds=60)
    assert len(list(Store(quick_workspace.runs).of_stage("dataset"))) == 1


def test_a_killed_program_costs_no_job_and_no_point_of_the_curve(quick_workspace):
    store = ready_to_train(quick_workspace)
    with Terminal(folder=quick_workspace.folder) as tui:
        tui.until("✓")
        tui.press("4")
        tui.until("(fine-tune")
        tui.press("r")
        wait_for(lambda: (run := newest(store, "train")) and len(steps_of(run)) > 3)
        train = newest(store, "train")
        second = Workspace(quick_workspace.folder, {"train": {"seed": 8, "epochs": 0.2}})
        params = planning.plan(second, store)["train"].params
        queued = launch.submit(second, store, "train", params).run
        wait_for(lambda: queued.status().last is not None)
        assert queued.status().state is State.QUEUED
        tui.kill()
    assert train.status().state is State.RUNNING
    wait_for(lambda: not train.status().state.active)
    assert train.status().state is State.FINISHED
    wait_for(lambda: not queued.status().state.active)
    assert queued.status().state is State.FINISHED
    last = train.status().result["steps"]
    assert steps_of(train) == list(range(1, last + 1))
    with Terminal(folder=quick_workspace.folder) as again:
        again.until("✓")
        again.press("4")
        again.until(lambda text: f"{last}" in text)


def test_a_killed_training_is_shown_as_crashed_and_resumes_to_the_same_end(quick_workspace):
    store = ready_to_train(quick_workspace)
    subprocess.run([HARUON, "train", "--detach"], cwd=quick_workspace.folder, check=True)
    train = newest(store, "train")
    wait_for(lambda: any(e["kind"] == "checkpoint" for e in EventReader(train.log).read()))
    os.kill(train.status().identity.pid, signal.SIGKILL)
    wait_for(lambda: train.status().state is State.CRASHED)
    with Terminal(folder=quick_workspace.folder) as tui:
        tui.until("✓")
        tui.press("9")
        tui.until("crashed")
    resumed = subprocess.run(
        [HARUON, "jobs", "resume", train.id, "--json"],
        cwd=quick_workspace.folder,
        capture_output=True,
        text=True,
        timeout=180,
    )
    result = json.loads(resumed.stdout)["result"]
    assert train.status().attempt == 2
    assert steps_of(train) == list(range(1, result["steps"] + 1))
    straight = subprocess.run(
        [HARUON, "train", "--force", "--json"],
        cwd=quick_workspace.folder,
        capture_output=True,
        text=True,
        timeout=180,
    )
    undisturbed = json.loads(straight.stdout)["result"]
    assert undisturbed["steps"] == result["steps"]
    assert undisturbed["final_loss"] == result["final_loss"]


def test_stop_ends_a_training_within_fifteen_seconds_with_a_checkpoint(quick_workspace):
    store = ready_to_train(quick_workspace)
    subprocess.run([HARUON, "train", "--detach"], cwd=quick_workspace.folder, check=True)
    train = newest(store, "train")
    wait_for(lambda: len(steps_of(train)) > 2)
    started = time.monotonic()
    subprocess.run([HARUON, "jobs", "stop", train.id], cwd=quick_workspace.folder, check=True)
    assert time.monotonic() - started < 15
    assert train.status().state is State.STOPPED
    saved = [e for e in EventReader(train.log).read() if e["kind"] == "checkpoint"]
    assert saved
    subprocess.run(
        [HARUON, "jobs", "resume", train.id, "--json"],
        cwd=quick_workspace.folder,
        check=True,
        stdout=subprocess.DEVNULL,
        timeout=180,
    )
    assert train.status().state is State.FINISHED


def test_quitting_with_a_job_running_takes_under_a_second(quick_workspace):
    store = ready_to_train(quick_workspace)
    subprocess.run([HARUON, "train", "--detach"], cwd=quick_workspace.folder, check=True)
    train = newest(store, "train")
    wait_for(lambda: len(steps_of(train)) > 2)
    with Terminal(folder=quick_workspace.folder) as tui:
        tui.until("%")
        tui.press("q")
        assert tui.wait_for_end() < 1.0
    assert train.status().state is State.RUNNING
    launch.kill(train)


def test_the_ui_process_imports_no_heavy_library(workspace):
    code = """
import asyncio, sys
from pathlib import Path
from haruon_tui.app import HaruonApp
from haruon_tui.workspace import Workspace

async def look():
    app = HaruonApp(Workspace(Path(sys.argv[1])))
    async with app.run_test(size=(120, 40)) as pilot:
        for key in "12345679":
            await pilot.press(key)
            await pilot.pause(0.3)

asyncio.run(look())
heavy = {"torch", "transformers", "trl", "peft", "datasets", "llama_cpp", "pandas", "pyarrow"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""
    subprocess.run(
        [sys.executable, "-c", code, str(workspace.folder)],
        check=True,
        cwd=Path.cwd(),
        timeout=120,
    )
