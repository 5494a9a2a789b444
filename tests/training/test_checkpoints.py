"""Only a checkpoint that was written to its end is ever loaded."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import pytest

from haruon_tui import artifacts
from haruon_tui.training.checkpoints import MARKER, Checkpoints, Progress


@pytest.fixture
def checkpoints(tmp_path: Path) -> Checkpoints:
    return Checkpoints(tmp_path / "checkpoints")


def written(checkpoints: Checkpoints, step: int) -> Path:
    """The folder that the trainer writes a checkpoint into."""
    path = checkpoints.unfinished / f"checkpoint-{step}"
    path.mkdir(parents=True)
    return path


def write(checkpoints: Checkpoints, step: int, **fields: object) -> Path:
    path = written(checkpoints, step)
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
    written(checkpoints, 5)
    checkpoints.complete(progress)
    assert checkpoints.newest() == progress


def test_a_loss_that_is_no_number_is_kept(checkpoints: Checkpoints) -> None:
    written(checkpoints, 5)
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
    assert checkpoints.remove_broken() == {20: "was not written to its end"}
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


def test_a_checkpoint_has_no_name_before_it_is_whole(checkpoints: Checkpoints) -> None:
    (written(checkpoints, 7) / "optimizer.pt").write_bytes(b"half")
    assert not checkpoints.path(7).exists()
    assert checkpoints.newest() is None
    assert checkpoints.remove_broken() == {7: "was not written to its end"}
    assert list(checkpoints.folder.iterdir()) == []


def test_a_checkpoint_that_changed_on_the_disk_gives_way_to_the_one_before(
    checkpoints: Checkpoints,
) -> None:
    for step in (10, 20, 30):
        write(checkpoints, step)
    (checkpoints.path(30) / "adapter_model.safetensors").write_bytes(b"w")
    (checkpoints.path(20) / "adapter_model.safetensors").write_bytes(b"wEights")
    assert checkpoints.remove_broken() == {
        30: "has 1 of 7 B of adapter_model.safetensors",
        20: "has another content in adapter_model.safetensors than was written",
    }
    newest = checkpoints.newest()
    assert newest is not None
    assert newest.step == 10


def test_the_progress_of_a_checkpoint_is_renewed_without_its_files_in_doubt(
    checkpoints: Checkpoints,
) -> None:
    write(checkpoints, 10)
    checkpoints.update(Progress(step=10, evaluations={10: 0.5}))
    assert checkpoints.remove_broken() == {}
    newest = checkpoints.newest()
    assert newest is not None
    assert newest.evaluations == {10: 0.5}


def test_a_full_disk_costs_the_oldest_checkpoints_and_neither_the_best_nor_the_newest(
    checkpoints: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    for step in (10, 20, 30, 40):
        write(checkpoints, step)
    size = artifacts.size_of(checkpoints.path(10))
    disk = 4 * size + size // 2

    def usage(_: object) -> tuple[int, int, int]:
        used = sum(artifacts.size_of(checkpoints.path(step)) for step in checkpoints.steps())
        return shutil._ntuple_diskusage(disk, used, disk - used)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    room = checkpoints.make_room(keep=4, best=10, expected=1)
    assert room.removed == (20,)
    assert (room.short, room.soon_short) == (False, True)
    disk = 2 * size
    room = checkpoints.make_room(keep=4, best=10, expected=1)
    assert room.removed == (30,)
    assert checkpoints.steps() == [10, 40]
    assert room.short


def test_with_room_for_all_that_are_kept_nothing_is_said(checkpoints: Checkpoints) -> None:
    room = checkpoints.make_room(keep=3, best=None, expected=1000)
    assert (room.next, room.ahead, room.removed) == (1000, 5000, ())
    assert not room.short
    assert not room.soon_short
