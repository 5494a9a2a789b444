"""CSV and its like: the separator is found from the content, rows come with their line and byte.

The form is RFC 4180's: cells in double quotes may hold separators and line breaks, a quote inside
is doubled (or escaped by a backslash, where the file does so).
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from haruon_tui.dataset import regular_file, text_encoding
from haruon_tui.dataset.importing.rows import BadRow, Row
from haruon_tui.dataset.records import MAX_LINE_BYTES, BadLine
from haruon_tui.dataset.text_encoding import TextLine
from haruon_tui.errors import ConfigurationError

NAMES = {",": "comma", "\t": "tab", ";": "semicolon", "|": "bar"}
SAMPLE_ROWS = 50
SAMPLE_LINES = 2000

MAX_RESTARTS = 20
"""How often reading goes back to the line after a quote that is never closed."""


@dataclass(frozen=True)
class Dialect:
    """How a table is written. `agreeing` of `looked_at` sample rows have the header's width."""

    separator: str
    escape: str | None
    header: tuple[str, ...]
    agreeing: int
    looked_at: int

    @property
    def evidence(self) -> str:
        escaped = ", quotes escaped by a backslash" if self.escape else ""
        return (
            f"its first row has {len(self.header)} cells separated by a {NAMES[self.separator]}, "
            f"and so have {self.agreeing} of the next {self.looked_at} rows{escaped}"
        )


def sniff(path: Path, found: text_encoding.Found) -> Dialect | None:
    """The dialect of a text file; None when it looks like no table."""
    csv.field_size_limit(MAX_LINE_BYTES)
    with regular_file.opened(path) as stream:
        text = [
            line.text
            for line in islice(text_encoding.lines(stream, found), SAMPLE_LINES)
            if isinstance(line, TextLine)
        ]
    if text:
        text[0] = text[0].lstrip("\ufeff")
    joined = "".join(text[:SAMPLE_ROWS])
    escape = "\\" if '\\"' in joined and '""' not in joined else None
    best: Dialect | None = None
    for separator in NAMES:
        try:
            reader = csv.reader(text, delimiter=separator, escapechar=escape)
            rows = [row for row in islice(reader, SAMPLE_ROWS + 1) if row]
        except csv.Error:
            continue
        if not rows or len(rows[0]) < 2:
            continue
        agreeing = sum(len(row) == len(rows[0]) for row in rows[1:])
        header = tuple(cell.strip() for cell in rows[0])
        dialect = Dialect(separator, escape, header, agreeing, len(rows) - 1)
        if best is None or (agreeing, len(header)) > (best.agreeing, len(best.header)):
            best = dialect
    if best is None or 2 * best.agreeing < best.looked_at or not all(best.header):
        return None
    return best


def rows(path: Path, found: text_encoding.Found, dialect: Dialect) -> Iterator[Row | BadRow]:
    """The rows below the header. One that breaks the form is a BadRow, and reading goes on with
    the line after the one that it began in."""
    doubled = {name for name in dialect.header if dialect.header.count(name) > 1}
    if doubled:
        raise ConfigurationError(
            f"has the column {doubled.pop()!r} twice",
            where=f"{path}:1",
            expected="a name of its own for every column",
        )
    first, restarts, header_seen = 1, 0, False
    while True:
        with regular_file.opened(path) as stream:
            feed = _Feed(text_encoding.lines(stream, found), first)
            reader = csv.reader(
                feed, delimiter=dialect.separator, escapechar=dialect.escape, strict=True
            )
            while True:
                feed.begin()
                try:
                    cells = next(reader)
                except StopIteration:
                    return
                except csv.Error as error:
                    start, byte = feed.start, feed.byte
                    spanned = feed.number > start
                    what = "a quote is never closed" if "unexpected end" in str(error) else error
                    yield BadRow(path.name, start, byte, f"breaks the form of CSV: {what}")
                    header_seen = True
                    if not spanned:
                        continue
                    restarts += 1
                    if restarts > MAX_RESTARTS:
                        yield BadRow(
                            path.name, start + 1, byte, "has too many unclosed quotes: not read on"
                        )
                        return
                    first = start + 1
                    break
                if feed.fault:
                    fault = feed.fault
                    yield BadRow(path.name, fault.number, fault.byte, f"the line {fault.message}")
                elif not header_seen:
                    header_seen = True
                elif cells and not _is_blank(cells):
                    yield _row(path.name, feed, cells, dialect)


def _row(file: str, feed: _Feed, cells: list[str], dialect: Dialect) -> Row | BadRow:
    if len(cells) != len(dialect.header):
        what = f"has {len(cells)} cells, the header has {len(dialect.header)}"
        return BadRow(file, feed.start, feed.byte, what, dialect.separator.join(cells))
    value = dict(zip(dialect.header, cells, strict=True))
    return Row(file, feed.start, feed.byte, value)


def _is_blank(cells: list[str]) -> bool:
    return len(cells) == 1 and not cells[0].strip()


class _Feed:
    """Lines for the csv reader, remembering where the row under way began and a fault in it."""

    def __init__(self, lines: Iterator[TextLine | BadLine], first: int) -> None:
        self._lines, self._first = lines, first
        self.number = self.start = self.byte = 0
        self.fault: BadLine | None = None
        self._fresh = True

    def begin(self) -> None:
        self._fresh, self.fault = True, None

    def __iter__(self) -> _Feed:
        return self

    def __next__(self) -> str:
        while (line := next(self._lines)).number < self._first:
            pass
        self.number = line.number
        if self._fresh:
            self.start, self.byte, self._fresh = line.number, line.byte, False
        if isinstance(line, BadLine):
            self.fault = line
            return "\n"
        return line.text.lstrip("\ufeff") if line.number == 1 else line.text
