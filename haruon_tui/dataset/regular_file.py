"""Opens a file of the user for reading, and says what else stands under its name.

A named pipe would wait for a writer without end, and a device has no end: both are refused before
a byte is read.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from haruon_tui.errors import ConfigurationError

JSONL = "a JSONL file: one JSON object per line"

_KINDS = (
    (stat.S_ISDIR, "is a directory", "name a file in it"),
    (stat.S_ISFIFO, "is a named pipe", "write what comes out of it to a file, and name that"),
    (stat.S_ISCHR, "is a device", "copy what is on it to a file, and name that"),
    (stat.S_ISBLK, "is a device", "copy what is on it to a file, and name that"),
    (stat.S_ISSOCK, "is a socket", "write what comes out of it to a file, and name that"),
)
_WAYS_OUT = {
    FileNotFoundError: "look at the spelling; paths are relative to where the program runs",
    PermissionError: "chmod u+r gives its owner the right to read it",
}


@contextmanager
def opened(path: Path, expected: str = JSONL) -> Iterator[BinaryIO]:
    """The regular file at `path`, open for reading.

    Raises ConfigurationError for what is no regular file, cannot be opened, or stops being
    readable. An OSError of the body counts as the latter: in the body, only read.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise unreadable(path, error, expected) from error
    mode = os.fstat(descriptor).st_mode
    for is_kind, what, do in _KINDS:
        if is_kind(mode):
            os.close(descriptor)
            raise ConfigurationError(what, where=str(path), expected=expected, do=do)
    with os.fdopen(descriptor, "rb") as stream:
        try:
            yield stream
        except OSError as error:
            raise unreadable(path, error, expected) from error


def unreadable(
    path: Path, error: OSError | ValueError, expected: str = JSONL
) -> ConfigurationError:
    """The error on a file that the system does not let us read."""
    reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
    do = next((do for kind, do in _WAYS_OUT.items() if isinstance(error, kind)), None)
    return ConfigurationError(
        f"cannot be read: {reason}", where=str(path), expected=expected, do=do
    )
