"""What the table shows of one line: its first words and the levels of its report."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from haruon_tui.dataset import records, regular_file
from haruon_tui.dataset.persona import LEVELS, TRAITS
from haruon_tui.dataset.report import parse

WORDS = 160
"""Characters of a record's first words."""

Row = dict[str, Any]
"""{"line": from 0, "bytes", "words", "levels": five of 0 (none) to 7, "bad": reason or ""}, and
what the reader adds: "verdict", "tokens", "decision", "edited", "revision"."""


def row(line: int, raw: bytes, start: int, length: int) -> Row:
    """The row of a line that starts at byte `start`. Takes any bytes; `raw` may be cut to one
    byte more than a record may have."""
    made: Row = {"line": line, "bytes": length, "words": "", "levels": [0] * 5, "bad": ""}
    decoded = decode(line, raw, start, length)
    if decoded is None:
        made["bad"] = "blank line"
    elif isinstance(decoded, records.BadLine):
        made["bad"] = f"byte {decoded.byte}: the line {decoded.message}"
        made["words"] = raw[: 4 * WORDS].decode("utf-8", errors="replace")[:WORDS]
    else:
        made["words"] = first_words(decoded.record)
        made["levels"] = levels_of(decoded.record)
    return made


def decode(
    line: int, raw: bytes, start: int, length: int
) -> records.Line | records.BadLine | None:
    """The record of a line; None when it is blank."""
    if length > records.MAX_LINE_BYTES:
        limit = records.MAX_LINE_BYTES >> 20
        return records.BadLine(line + 1, start, f"is longer than {limit} MiB")
    return records.decode(raw, line + 1, start)


def read_line(descriptor: int, start: int, length: int) -> bytes:
    """The bytes of a line, cut to one more than a record may have. Raises OSError."""
    return os.pread(descriptor, min(length, records.MAX_LINE_BYTES + 1), start)


def open_regular(path: Path) -> int:
    """A descriptor to read from. Raises ConfigurationError for anything but a file."""
    with regular_file.opened(path) as stream:
        return os.dup(stream.fileno())


def first_rows(path: Path, count: int) -> list[Row]:
    """The rows of the first lines, read at once, without any index. Raises OSError.

    A last line without a newline is left out: the reader says what it is.
    """
    made: list[Row] = []
    start = 0
    with path.open("rb") as stream:
        while len(made) < count:
            raw = stream.readline(records.MAX_LINE_BYTES + 1)
            if not raw.endswith(b"\n"):
                break
            made.append(row(len(made), raw, start, len(raw)))
            start += len(raw)
    return made


def first_words(record: Mapping[str, Any]) -> str:
    """The start of what the person said, else of any text in the record, on one line."""
    answers = record.get("answers")
    if isinstance(answers, dict):
        said: object = next(iter(answers.values()), "")
    else:
        answered = records.answers(record)
        said = next(iter(answered.values())) if answered else records.content(record, "user")
    if not isinstance(said, str) or not said.strip():
        said = next((text for text in texts(record) if text.strip()), "")
    return " ".join(said[: 4 * WORDS].split())[:WORDS]


def levels_of(record: Mapping[str, Any]) -> list[int]:
    """The level per trait, 1 (lowest) to 7, from the report, else from the metadata; 0 where
    neither says one."""
    found: dict[str, Any] = dict(parse(records.content(record, "assistant")).levels)
    metadata = record.get("metadata")
    for given in (record, metadata if isinstance(metadata, dict) else {}):
        levels = given.get("levels")
        if isinstance(levels, dict):
            found = {**levels, **found}
    return [_number(found.get(trait.key)) for trait in TRAITS]


def _number(level: object) -> int:
    return LEVELS.index(level) + 1 if isinstance(level, str) and level in LEVELS else 0


def texts(value: object) -> list[str]:
    """Every text in a JSON value but the keys, in order."""
    found: list[str] = []
    waiting = [value]
    while waiting:
        part = waiting.pop()
        if isinstance(part, str):
            found.append(part)
        elif isinstance(part, dict):
            waiting.extend(reversed(list(part.values())))
        elif isinstance(part, list):
            waiting.extend(reversed(part))
    return found
