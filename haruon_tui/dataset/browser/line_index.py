"""Where each line of a file starts: an array of byte offsets, made a block at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

BLOCK = 4 << 20
"""Bytes looked at at once. Files are read, not mapped: a file that another program cuts short
would end a process that has mapped it."""

Offsets = Any
"""A numpy array; of int64 where nothing else is said."""


class LineIndex:
    """Ends of lines that came so far; 8 bytes per line. A line is numbered from 0 here."""

    def __init__(self) -> None:
        self._ends: Offsets = np.empty(1 << 12, np.int64)
        self._count = 0
        self.size = 0
        """Bytes of the file that were looked at."""
        self.tail_counts = False
        """Whether the bytes after the last newline are a line too."""

    def add(self, ends: Offsets, size: int) -> None:
        """Line ends (one past the newline), ascending, and how far the file was looked at."""
        needed = self._count + len(ends)
        if needed > len(self._ends):
            grown: Offsets = np.empty(max(needed, 2 * len(self._ends)), np.int64)
            grown[: self._count] = self._ends[: self._count]
            self._ends = grown
        self._ends[self._count : needed] = ends
        self._count = needed
        self.size = size

    def __len__(self) -> int:
        return self._count + (1 if self.tail_counts and self.tail_start < self.size else 0)

    @property
    def complete(self) -> int:
        """Lines that end with a newline."""
        return self._count

    @property
    def tail_start(self) -> int:
        """Where the bytes after the last newline start."""
        return int(self._ends[self._count - 1]) if self._count else 0

    def span(self, line: int) -> tuple[int, int]:
        """Start and length in bytes, the newline included. Raises IndexError."""
        if not 0 <= line < len(self):
            raise IndexError(f"line {line + 1} of {len(self)}")
        start = int(self._ends[line - 1]) if line else 0
        end = int(self._ends[line]) if line < self._count else self.size
        return start, end - start

    def shift(self, line: int, by: int) -> None:
        """The line has become longer by so many bytes (shorter, where negative)."""
        self._ends[line : self._count] += by
        self.size += by

    def lines_at(self, starts: Offsets) -> Offsets:
        """The lines that start at these ascending bytes, as far as they are indexed."""
        known = starts[starts < (self.size if self.tail_counts else self.tail_start)]
        return np.searchsorted(self._ends[: self._count], known, side="right")

    def lengths(self) -> Offsets:
        """Bytes of every line."""
        ends = self._ends[: self._count]
        if len(self) > self._count:
            ends = np.append(ends, self.size)
        return np.diff(ends, prepend=0)


def scan(path: Path, start: int, stopped: Callable[[], bool]) -> Iterator[tuple[Offsets, int]]:
    """The ends of lines from byte `start` to the end of the file, a block at a time, each with
    the bytes looked at so far. Raises OSError."""
    buffer: Any = np.empty(BLOCK, np.uint8)
    with path.open("rb", buffering=0) as stream:
        stream.seek(start)
        while not stopped() and (count := stream.readinto(buffer.data)):
            ends: Offsets = np.flatnonzero(buffer[:count] == 10) + (start + 1)
            start += count
            yield ends, start
