"""Generations kept as they are made, so that a resumed evaluation does not make them again."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ValidationError

from haruon_tui import artifacts
from haruon_tui.evaluation.generate import Generation


class _Line(BaseModel):
    """A batch is one line: it is kept whole or made again whole, so that a resumed evaluation
    asks in the same batches and writes the same texts."""

    model: str
    ran_on: str
    generations: list[Generation]


class KeptGenerations:
    """A JSONL file in a job's scratch folder. A line cut off by a crash is left out."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._by_model: dict[str, dict[str, Generation]] = {}
        self._ran_on: dict[str, str] = {}
        self._lines: list[_Line] = []
        written = path.read_bytes().splitlines() if path.exists() else []
        whole = [line for raw in written if (line := _read(raw))]
        if len(whole) < len(written):
            artifacts.write_text(path, "".join(_write(line) for line in whole))
        for line in whole:
            self._keep(line)

    def of(self, model: str) -> dict[str, Generation]:
        """The generations of a model by case id."""
        return dict(self._by_model.get(model, {}))

    def ran_on(self, model: str) -> str:
        """Where its last batch was made; empty while there is none."""
        return self._ran_on.get(model, "")

    def add(self, model: str, ran_on: str, generations: Sequence[Generation]) -> None:
        """Append a batch to the file and sync it."""
        line = _Line(model=model, ran_on=ran_on, generations=list(generations))
        with self._path.open("a", encoding="utf-8") as stream:
            stream.write(_write(line))
            stream.flush()
            os.fsync(stream.fileno())
        self._keep(line)

    def take(self, others: KeptGenerations) -> None:
        """Add every batch that `others` keeps."""
        for line in others._lines:
            self.add(line.model, line.ran_on, line.generations)

    def _keep(self, line: _Line) -> None:
        self._lines.append(line)
        self._ran_on[line.model] = line.ran_on
        for one in line.generations:
            self._by_model.setdefault(line.model, {})[one.case] = one


def _read(raw: bytes) -> _Line | None:
    try:
        return _Line.model_validate_json(raw)
    except ValidationError:
        return None


def _write(line: _Line) -> str:
    return line.model_dump_json() + "\n"
