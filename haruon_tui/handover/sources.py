"""What the runs have written down, read so that each value told further can be looked up again."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from haruon_tui import artifacts
from haruon_tui.errors import StageError
from haruon_tui.export.choice import Candidate
from haruon_tui.jobs.context import read_manifest
from haruon_tui.jobs.curve import Curves
from haruon_tui.jobs.events import EventReader
from haruon_tui.jobs.store import Run

LOG = "events.jsonl"
MANIFEST = f"artifacts/{artifacts.MANIFEST}"
UNKNOWN = "not recorded"

Key = str | int
Form = Callable[[Any], str]


@dataclass(frozen=True)
class Value:
    """A value as it stands at `path` in `file` (below runs/), and the text it was written as."""

    file: str
    path: tuple[Key, ...]
    value: Any
    text: str


@dataclass(frozen=True)
class Runs:
    """The runs that the card is made from, by stage. `evaluated` names the models to tell of in
    the evaluation, in its order."""

    by_stage: Mapping[str, Run]
    files: Sequence[Candidate]
    evaluated: Sequence[str] = ()

    def __getitem__(self, stage: str) -> Run:
        return self.by_stage[stage]


class Sources:
    """Reads the files of runs and keeps every value taken from them."""

    def __init__(self) -> None:
        self.values: list[Value] = []
        self._read = cache(read)

    def take(self, run: Run, name: str, *path: Key, form: Form = str) -> str:
        """The value at `path` in the file `name` of a run as a text, or UNKNOWN where there is
        none.

        Raises StageError for a file that cannot be read or is not the one that the run made.
        """
        found = self.look(run, name, *path)
        if found is None:
            return UNKNOWN
        text = form(found)
        self.values.append(Value(f"{run.id}/{name}", path, found, text))
        return text

    def look(self, run: Run, name: str, *path: Key) -> Any:
        """The value itself, which is not told further; None where there is none."""
        return value_at(self._read(run.folder, name), path)


def read(run: Path, name: str) -> Any:
    """A file of a run: JSON as it is. The log as its result under "result", and under "metrics"
    each metric's points as pairs of step and value, what a resumed training wrote twice once.

    Raises StageError for a file that cannot be read, and for an artefact whose sha256 is not the
    manifest's.
    """
    path = run / name
    try:
        if name == LOG:
            return _log(path)
        _require_unchanged(path)
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise StageError(
            f"cannot be read: {error}",
            where=str(path),
            do="run the stage that made it again, with --force",
        ) from error


def value_at(document: Any, path: tuple[Key, ...]) -> Any:
    """The value at a path of keys and places; None where the path leads nowhere."""
    for key in path:
        try:
            document = document[key]
        except (KeyError, IndexError, TypeError):
            return None
    return document


def _log(path: Path) -> dict[str, Any]:
    reader, curves, result = EventReader(path), Curves(), None
    while events := reader.read():
        curves.feed(events)
        result = next((e["result"] for e in reversed(events) if e["kind"] == "finished"), result)
    points = {name: zip(*curves.series(name), strict=True) for name in curves.names}
    return {
        "result": result,
        "metrics": {name: list(map(list, pairs)) for name, pairs in points.items()},
    }


def _require_unchanged(path: Path) -> None:
    made = (read_manifest(path.parent) or {}).get("artifacts", {}).get(path.name)
    if made and made.get("sha256") != artifacts.digest(path):
        raise StageError(
            "is not the file that its run made: its sha256 differs from the manifest's",
            where=str(path),
            do="run the stage that made it again, with --force",
        )
