"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from haruon_tui.workspace import Workspace


def pytest_configure(config: pytest.Config) -> None:
    """Each worker of pytest-xdist, with all that its tests start, gets cores of its own: two
    trainings that share their cores wait for each other's threads and take many times as long."""
    worker = getattr(config, "workerinput", None)
    if worker is None or not hasattr(os, "sched_setaffinity"):
        return
    cores = sorted(os.sched_getaffinity(0))
    number, count = int(worker["workerid"].removeprefix("gw")), worker["workercount"]
    os.sched_setaffinity(0, cores[number::count] or cores)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest first, so that no worker ends with it alone."""
    items.sort(key=lambda item: "e2e" not in item.path.parts)


@pytest.fixture(autouse=True)
def own_state(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tickets of the tests never meet those of the developer's own jobs, and no training of them
    is logged anywhere else."""
    monkeypatch.setenv("HARUON_STATE_DIR", str(tmp_path_factory.mktemp("state")))
    monkeypatch.setenv("WANDB_MODE", "disabled")


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    """An empty workspace with the tiny profile; what still runs in it at the end is ended."""
    from haruon_tui.jobs import launch
    from haruon_tui.jobs.store import Store

    made = Workspace.init(tmp_path / "작업 공간", "tiny")
    yield made
    for run in Store(made.runs).all():
        launch.kill(run)
