"""Checkpoints on the disk: which are complete, which is newest, which is best, which may go.

The trainer writes a checkpoint below .unfinished/. It is synced, `complete.json` with the size and
sha256 of each of its files is written into it, and only then it gets its name, checkpoint-<step>/:
under that name it is whole. What is there is compared with complete.json all the same.
"""

from __future__ import annotations

import json
import math
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from haruon_tui import artifacts

MARKER = "complete.json"
_NAME = re.compile(r"checkpoint-(\d+)")


class Progress(BaseModel):
    """How far training was, beyond what the trainer itself saves.

    `losses` are those of the steps since the last point of the curve, `last_loss` that of
    `step`; `evaluations` the evaluation loss by step; `tokens` and `seconds` are sums over all
    training steps.
    """

    model_config = ConfigDict(ser_json_inf_nan="constants")

    step: int = 0
    losses: list[float] = []
    last_loss: float = math.nan
    tokens: int = 0
    seconds: float = 0.0
    evaluations: dict[int, float] = {}

    @property
    def best_step(self) -> int | None:
        """The step with the lowest finite evaluation loss, the first of equals."""
        finite = {step: loss for step, loss in self.evaluations.items() if math.isfinite(loss)}
        return min(finite, key=lambda step: (finite[step], step), default=None)


class _File(BaseModel):
    bytes: int
    sha256: str


class _Marker(BaseModel):
    progress: Progress
    files: dict[str, _File]


@dataclass(frozen=True)
class Room:
    """The bytes that the next checkpoint takes, that all that are kept will take beyond those
    that are there, and that are free; the steps of those that were removed for it."""

    next: int
    ahead: int
    free: int
    removed: tuple[int, ...] = ()

    @property
    def short(self) -> bool:
        """Whether the next one does not fit."""
        return self.free < self.next

    @property
    def soon_short(self) -> bool:
        """Whether it fits, and not all of those to come do."""
        return not self.short and self.free < self.ahead


class Checkpoints:
    """The checkpoints of one training below `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.unfinished = folder / ".unfinished"
        """Where the trainer writes the next one."""
        self.warned = False
        """Whether it has been said that the disk will be full."""
        folder.mkdir(parents=True, exist_ok=True)

    def path(self, step: int) -> Path:
        return self.folder / f"checkpoint-{step}"

    def complete(self, progress: Progress) -> Path:
        """Sync what the trainer wrote for `progress.step`, mark it and give it its name."""
        path = self.path(progress.step)
        written = self.unfinished / path.name
        files = sorted(file for file in written.rglob("*") if file.is_file())
        for file in (*files, *{file.parent for file in files}):
            _sync(file)
        entries = {
            file.relative_to(written).as_posix(): _File(
                bytes=file.stat().st_size, sha256=artifacts.digest(file)
            )
            for file in files
        }
        _write(written, _Marker(progress=progress, files=entries))
        artifacts.remove(path)
        written.rename(path)
        _sync(self.folder)
        return path

    def update(self, progress: Progress) -> None:
        """Renew what the checkpoint of `progress.step` says of the progress."""
        path = self.path(progress.step)
        marker = _marker(path)
        assert marker is not None, f"{path} is not complete"
        _write(path, _Marker(progress=progress, files=marker.files))

    def steps(self) -> list[int]:
        """The steps of the complete checkpoints, oldest first."""
        return sorted(step for step, path in self._found() if _fault(path) is None)

    def newest(self) -> Progress | None:
        """The progress saved in the newest complete checkpoint."""
        steps = self.steps()
        marker = _marker(self.path(steps[-1])) if steps else None
        return marker.progress if marker else None

    def remove_broken(self) -> dict[int, str]:
        """Remove what an interrupted write left behind, and damaged checkpoints from the newest
        down to the first that is not; returns what was wrong by step."""
        broken: dict[int, str] = {}
        if self.unfinished.is_dir():
            names = (_NAME.fullmatch(path.name) for path in self.unfinished.iterdir())
            broken = {int(name[1]): "was not written to its end" for name in names if name}
            artifacts.remove(self.unfinished)
        for step, path in sorted(self._found(), reverse=True):
            fault = _fault(path) or _damage(path)
            if fault is None:
                break
            broken[step] = fault
            artifacts.remove(path)
        return broken

    def rotate(self, keep: int, best: int | None) -> None:
        """Remove all but the newest `keep` checkpoints and the best one."""
        for step in self.steps()[:-keep]:
            if step != best:
                self._remove(step)

    def make_room(self, keep: int, best: int | None, expected: int) -> Room:
        """Before another checkpoint is written: where the disk has no room for it, remove the
        oldest, though never the best or the newest one. `expected` is the size in bytes to go by
        while there is none to measure. Nothing is raised where it is still not enough."""
        steps = self.steps()
        size = max((artifacts.size_of(self.path(step)) for step in steps), default=expected)
        removed: list[int] = []
        for step in steps[:-1]:
            if shutil.disk_usage(self.folder).free >= size:
                break
            if step != best:
                self._remove(step)
                removed.append(step)
        # one more than is kept, and the best besides, stand on the disk at once
        ahead = (keep + 2 - len(steps) + len(removed)) * size
        return Room(size, ahead, shutil.disk_usage(self.folder).free, tuple(removed))

    def _remove(self, step: int) -> None:
        (self.path(step) / MARKER).unlink()  # from here on it is incomplete
        artifacts.remove(self.path(step))

    def _found(self) -> list[tuple[int, Path]]:
        matches = ((_NAME.fullmatch(path.name), path) for path in self.folder.iterdir())
        return [(int(match[1]), path) for match, path in matches if match]


def _write(folder: Path, marker: _Marker) -> None:
    artifacts.write_text(folder / MARKER, marker.model_dump_json())


def _marker(path: Path) -> _Marker | None:
    try:
        return _Marker.model_validate(json.loads((path / MARKER).read_text("utf-8")))
    except (OSError, ValueError, ValidationError):
        return None


def _fault(path: Path) -> str | None:
    """Why a checkpoint cannot be complete, by the marker and the sizes of its files."""
    marker = _marker(path)
    if marker is None:
        return "was not written to its end"
    for name, entry in marker.files.items():
        file = path / name
        size = file.stat().st_size if file.is_file() else None
        if size != entry.bytes:
            return f"lacks {name}" if size is None else f"has {size} of {entry.bytes} B of {name}"
    return None


def _damage(path: Path) -> str | None:
    """The file of a complete checkpoint whose content is not what was written."""
    marker = _marker(path)
    assert marker is not None
    for name, entry in marker.files.items():
        if artifacts.digest(path / name) != entry.sha256:
            return f"has another content in {name} than was written"
    return None


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
