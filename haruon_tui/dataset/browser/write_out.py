"""A dataset written out with its changes, the rejected records in a file of their own."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from haruon_tui import artifacts
from haruon_tui.dataset.browser.edits import copy_range
from haruon_tui.errors import ConfigurationError, StageError


@dataclass(frozen=True)
class Change:
    """What becomes of the source's line at [start, start + length): another text, or, with a
    `reason`, a place among the rejects."""

    start: int
    length: int
    line: str | None
    reason: str | None


def rejects_of(path: Path) -> Path:
    """Where the rejected records of an output go."""
    return path.with_name(f"{path.stem}.rejected.jsonl")


def write_out(source: BinaryIO, size: int, changes: Mapping[int, Change], path: Path) -> int:
    """Write the first `size` bytes of `source` to `path` with these changes and close it; returns
    how many lines were rejected. Every line is in one of the two files. Both appear whole.

    Raises ConfigurationError when `path` cannot be written there, OSError.
    """
    with source:
        return _write_both(source, size, changes, path)


def _write_both(source: BinaryIO, size: int, changes: Mapping[int, Change], path: Path) -> int:
    rejects = rejects_of(path)
    if not path.parent.is_dir():
        raise ConfigurationError(
            "is no folder", where=str(path.parent), do="make it, or name another file"
        )
    if path.is_dir():
        raise ConfigurationError("is a folder", where=str(path), do="name a file in it")
    rejected = sum(change.reason is not None for change in changes.values())
    for there in (path, *([rejects] if rejected else [])):
        if there.exists():
            raise ConfigurationError(
                "is there already", where=str(there), do="move it away, or name another output"
            )
    with ExitStack() as stack:
        temporary = stack.enter_context(artifacts.replacing(path))
        with ExitStack() as written:
            out = written.enter_context(temporary.open("wb"))
            aside: BinaryIO | None = None
            if rejected:
                rejects_temporary = stack.enter_context(artifacts.replacing(rejects))
                aside = written.enter_context(rejects_temporary.open("wb"))
            at = 0
            for start in sorted(changes):
                change = changes[start]
                copy_range(source, out, at, start)
                source.seek(start)
                original = source.read(change.length)
                at = start + change.length
                _write(change, original, out, aside)
            copy_range(source, out, at, size)
        if os.fstat(source.fileno()).st_size < size:
            raise StageError("was cut short meanwhile; nothing was written", where=source.name)
    return rejected


def _write(change: Change, original: bytes, out: BinaryIO, aside: BinaryIO | None) -> None:
    body = original.rstrip(b"\r\n")
    line = body if change.line is None else change.line.encode("utf-8", "surrogatepass")
    if change.reason is None or aside is None:
        out.write(line + original[len(body) :])
        return
    try:
        said = {"reason": change.reason, "record": json.loads(line)}
    except (ValueError, RecursionError):
        said = {"reason": change.reason, "line": line.decode("utf-8", "replace")}
    aside.write(json.dumps(said, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n")
