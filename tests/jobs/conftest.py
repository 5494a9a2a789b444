"""The engine's tests run real child processes with a small stage of their own."""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from haruon_tui import stage as contract
from haruon_tui.jobs import launch
from haruon_tui.jobs.store import Run, Status, Store
from haruon_tui.workspace import Workspace

_CHILD = Path(__file__).with_name("counting_child.py")


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module with the stage `count`, known here and in the children."""
    spec = importlib.util.spec_from_file_location("counting", _CHILD)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "counting", module)
    monkeypatch.setitem(contract.STAGES, "count", None)
    spec.loader.exec_module(module)
    monkeypatch.setattr(launch, "CHILD", (sys.executable, "-P", str(_CHILD)))
    return module


@pytest.fixture
def store(workspace: Workspace) -> Store:
    return Store(workspace.runs)


@pytest.fixture
def submit(
    workspace: Workspace, store: Store, counting: ModuleType
) -> Callable[..., launch.Submission]:
    """submit(steps=…, fresh=…) starts a counting job."""

    def start(*, reuse: bool = True, fresh: bool = False, **params: object) -> launch.Submission:
        return launch.submit(
            workspace, store, "count", counting.Params(**params), reuse=reuse, fresh=fresh
        )

    return start


def wait_until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    """Return as soon as `condition` holds; fail after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


@pytest.fixture
def ended() -> Callable[[Run], Status]:
    """Wait for a run to end and return its status."""

    def wait(run: Run) -> Status:
        wait_until(lambda: not run.status().state.active)
        return run.status()

    return wait


@pytest.fixture
def until() -> Callable[..., None]:
    return wait_until
