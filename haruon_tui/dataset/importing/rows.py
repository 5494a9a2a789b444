"""What a container gives: rows, and what could not be read as one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Row:
    """`number` is its line in a text file and its row in a table, from 1; `byte` is where it
    starts, None in a binary table."""

    file: str
    number: int
    byte: int | None
    value: dict[str, Any]


@dataclass(frozen=True)
class BadRow:
    """What stands where a row should be: `rows` of them in a binary table. After the `last` one
    nothing of the file can be read."""

    file: str
    number: int
    byte: int | None
    message: str
    raw: str = ""
    rows: int = 1
    last: bool = False
