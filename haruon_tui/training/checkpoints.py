"""Checkpoints on the disk: which are complete, which is newest, which is best, which may go.

The trainer writes checkpoint-<step>/. A checkpoint counts only once `complete.json` is in it,
which is written last; one whose writing was cut short is removed before the next training.
"""

from __future__ import annotations

import json
import math
import os
import re
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
        """The step with the lowest evaluation loss, the first of equals."""
        finite = {step: loss for step, loss in self.evaluations.items() if loss == loss}
        return min(finite, key=lambda step: (finite[step], step), default=None)


class Checkpoints:
    """The checkpoints of one training below `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def path(self, step: int) -> Path:
        return self.folder / f"checkpoint-{step}"

    def complete(self, progress: Progress) -> Path:
        """Mark the checkpoint of `progress.step` as complete, once its files are on the disk."""
        path = self.path(progress.step)
        for file in path.rglob("*"):
            if file.is_file():
                _sync(file)
        artifacts.write_text(path / MARKER, progress.model_dump_json())
        return path

    def steps(self) -> list[int]:
        """The steps of the complete checkpoints, oldest first."""
        return sorted(step for step, path in self._found() if self._progress(path) is not None)

    def newest(self) -> Progress | None:
        """The progress saved in the newest complete checkpoint."""
        steps = self.steps()
        return self._progress(self.path(steps[-1])) if steps else None

    def remove_incomplete(self) -> list[int]:
        """Remove what an interrupted write left behind; returns its steps."""
        complete = set(self.steps())
        broken = [step for step, _ in self._found() if step not in complete]
        for step in broken:
            artifacts.remove(self.path(step))
        return broken

    def rotate(self, keep: int, best: int | None) -> None:
        """Remove all but the newest `keep` checkpoints and the best one."""
        for step in self.steps()[:-keep]:
            if step != best:
                (self.path(step) / MARKER).unlink()  # from here on it is incomplete
                artifacts.remove(self.path(step))

    def _found(self) -> list[tuple[int, Path]]:
        matches = ((_NAME.fullmatch(path.name), path) for path in self.folder.iterdir())
        return [(int(match[1]), path) for match, path in matches if match]

    @staticmethod
    def _progress(path: Path) -> Progress | None:
        try:
            return Progress.model_validate(json.loads((path / MARKER).read_text("utf-8")))
        except (FileNotFoundError, json.JSONDecodeError, ValidationError):
            return None


def _sync(file: Path) -> None:
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
