"""Fixtures shared by all tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from haruon_tui.workspace import Workspace


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
