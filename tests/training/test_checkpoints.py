"""Only a checkpoint that was written to its end is ever loaded."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from haruon_tui.training.checkpoints import MARKER, Checkpoints, Progress


@pytest.fixture
def checkpoints(tmp_path: Path) -> Checkpoints:
    return Checkpoints(tmp_path / "checkpoints")


def write(checkpoints: Checkpoints, step: int, **fields: object) -> Path:
    path = checkpoints.path(step)
    path.mkdir()
    (path / "adapter_model.safetensors").write_bytes(b"weights")
    return checkpoints.complete(Progress(step=step, last_loss=1.0, **fields))


def test_the_newest_complete_one_is_that_of_the_highest_step(checkpoints: Checkpoints) -> None:
    assert checkpoints.newest() is None
    for step in (9, 100, 20):
        write(checkpoints, step, tokens=step * 10)
    assert checkpoints.steps() == [9, 20, 100]
    assert checkpoints.newest() == Progress(step=100, last_loss=1.0, tokens=1000)


def test_progress_comes_back_as_it_was(checkpoints: Checkpoints) -> None:
    progress = Progress(
        step=5, losses=[0.1, 1 / 3], last_loss=1 / 3, tokens=7, seconds=0.5, evaluations={3: 0.25}
    )
    path = checkpoints.path(5)
    path.mkdir()
    checkpoints.complete(progress)
    assert checkpoints.newest() == progress


def test_a_loss_that_is_no_number_is_kept(checkpoints: Checkpoints) -> None:
    checkpoints.path(5).mkdir()
    checkpoints.complete(Progress(step=5, losses=[math.inf], evaluations={3: math.nan}))
    newest = checkpoints.newest()
    assert newest is not None
    assert newest.losses == [math.inf]
    assert math.isnan(newest.evaluations[3])


@pytest.mark.parametrize("marker", [None, "", '{"step":', '{"step": "many"}'])
def test_one_whose_writing_was_cut_short_is_never_the_newest(
    checkpoints: Checkpoints, marker: str | None
) -> None:
    write(checkpoints, 10)
    cut = checkpoints.path(20)
    cut.mkdir()
    (cut / "optimizer.pt").write_bytes(b"half")
    if marker is not None:
        (cut / MARKER).write_text(marker)
    newest = checkpoints.newest()
    assert newest is not None
    assert newest.step == 10
    assert checkpoints.remove_incomplete() == [20]
    assert not cut.exists()
    assert checkpoints.path(10).exists()


def test_rotation_keeps_the_newest_and_the_best(checkpoints: Checkpoints) -> None:
    for step in (10, 20, 30, 40, 50):
        write(checkpoints, step)
    checkpoints.rotate(keep=2, best=20)
    assert checkpoints.steps() == [20, 40, 50]


def test_the_best_step_has_the_lowest_loss_and_is_the_first_of_equals() -> None:
    assert Progress().best_step is None
    assert Progress(evaluations={10: 0.5, 20: 0.3, 30: 0.3}).best_step == 20
    assert Progress(evaluations={10: math.nan, 20: 0.9}).best_step == 20
