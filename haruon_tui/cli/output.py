"""What the command line prints: JSON for scripts, plain lines for pipes, bars for terminals."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich.cells import cell_len

_CONTROL = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[@-_]|[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def clean(text: str) -> str:
    """Text from a model, dataset or server with its control characters and escapes taken out."""
    return _CONTROL.sub("", text)


def document(value: Any) -> None:
    """Print one JSON document."""
    print(json.dumps(value, ensure_ascii=False, indent=2))


def json_line(value: Any) -> None:
    """Print one JSON document on one line, of which there may be many."""
    print(json.dumps(value, ensure_ascii=False), flush=True)


def line(text: str, *, stderr: bool = False) -> None:
    """Print one line of data as plain text."""
    print(clean(text), file=sys.stderr if stderr else sys.stdout, flush=True)


def piece(text: str) -> None:
    """Print a piece of a line as plain text, at once."""
    print(clean(text), end="", flush=True)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table aligned by terminal cells, so that Korean lines up."""
    lines = [[clean(cell) for cell in row] for row in (head, *rows)]
    widths = [max(cell_len(row[column]) for row in lines) for column in range(len(head))]
    for row in lines:
        padded = (
            cell + " " * (width - cell_len(cell)) for cell, width in zip(row, widths, strict=True)
        )
        print("  ".join(padded).rstrip())


def duration(seconds: float) -> str:
    """`42 s`, `3:05` or `2:10:00`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def size(count: float) -> str:
    """`3.4 MB`: decimal units, as file sizes of models are given."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    raise AssertionError
