"""Files that a command leaves beside each other: all new, none of them its source."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from haruon_tui import artifacts
from haruon_tui.errors import ConfigurationError, StageError


def refuse(outputs: Iterable[Path], sources: Iterable[Path]) -> None:
    """Raise ConfigurationError when an output is a source, under any name or link, or is there
    already, or its folder cannot be written."""
    sources = list(sources)
    for out in outputs:
        for source in sources:
            if _same(out, source):
                raise ConfigurationError(
                    f"is the source itself ({source})",
                    where=str(out),
                    expected="another file: the source is never touched",
                    do="name another file with --out",
                )
        if out.exists() or out.is_symlink():
            raise ConfigurationError("is there already", where=str(out), do="name another file")
        folder = next((up for up in out.absolute().parents if up.exists()), Path("/"))
        if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
            raise ConfigurationError(
                "is no folder to write in", where=str(folder), do="name another place with --out"
            )


@contextmanager
def written(outputs: Iterable[Path]) -> Iterator[list[Path]]:
    """Temporary names for `outputs`; on success all are synced and renamed, the first one last, so
    that where it stands the others do. Raises StageError when the disk does not take them."""
    ordered = list(outputs)
    try:
        with ExitStack() as stack:
            # Left in the reverse order: the first, entered first, is renamed last.
            yield [stack.enter_context(artifacts.replacing(out)) for out in ordered]
    except OSError as error:
        raise StageError(
            f"cannot be written: {error.strerror or error}",
            where=str(error.filename or ordered[0].parent),
            do="make room, or name another place with --out; nothing was left behind",
        ) from error


def _same(out: Path, source: Path) -> bool:
    try:
        return out.samefile(source)
    except OSError:  # one of them is not there
        return out.resolve() == source.resolve()
