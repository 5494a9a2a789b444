"""One queue for each GPU, on a recorded machine with two."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from haruon_tui import stage as contract
from haruon_tui.hardware import nvml
from haruon_tui.jobs import launch
from haruon_tui.jobs.store import State, Store
from haruon_tui.settings_file import set_keys
from haruon_tui.workspace import Workspace

TWO_GPUS = """#!/bin/sh
case "$*" in *query-gpu*) ;; *) exit 0 ;; esac
echo "0, GPU-a, 0, 24564, 4000, 20564, 550.54, NVIDIA L4, 0, Disabled, Disabled, 40"
echo "1, GPU-b, 0, 24564, 300, 24264, 550.54, NVIDIA L4, 0, Disabled, Disabled, 40"
"""


@pytest.fixture
def on_gpus(
    counting: ModuleType, submit: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., launch.Submission]:
    """`submit` for a stage that wants a GPU."""
    program = tmp_path / "bin" / "nvidia-smi"
    program.parent.mkdir()
    program.write_text(TWO_GPUS)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(nvml.LIBRARY, "_tried", True)
    monkeypatch.setattr(nvml.LIBRARY, "_library", None)
    stage = dataclasses.replace(counting.STAGE, device="accelerator")
    monkeypatch.setitem(contract.STAGES, "count", stage)
    chosen: Callable[..., launch.Submission] = submit
    return chosen


def test_two_gpus_work_at_once_and_a_third_job_waits_in_one_queue(
    on_gpus: Any, until: Any
) -> None:
    first, second = (on_gpus(steps=400 + i, seconds=0.05).run for i in range(2))
    until(lambda: first.status().state is second.status().state is State.RUNNING)
    third = on_gpus(steps=402, seconds=0.05).run
    placed = [run.job.devices for run in (first, second, third)]
    assert placed == [("gpu1",), ("gpu0",), ("gpu1",)]
    assert third.status().state is State.QUEUED
    launch.kill(first)
    until(lambda: third.status().state is State.RUNNING)


def test_a_queued_job_stays_and_a_resumed_one_follows_the_new_choice(
    on_gpus: Any, until: Any, workspace: Workspace, store: Store
) -> None:
    working = on_gpus(steps=400, seconds=0.05).run
    until(lambda: working.status().state is State.RUNNING)
    set_keys(workspace.file, {"hardware.gpus": [1]})
    queued = on_gpus(steps=401, seconds=0.05).run
    set_keys(workspace.file, {"hardware.gpus": [0], "hardware.wait_for_memory": False})
    assert (working.job.devices, queued.job.devices) == (("gpu1",), ("gpu1",))
    launch.kill(working)
    launch.resume(workspace, working)
    assert working.job.devices == ("gpu0",)
    again = Store(store.folder).get(working.id).job
    assert (again.devices, again.wait_for_memory) == (("gpu0",), False)
