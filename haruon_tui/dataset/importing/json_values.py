"""JSON objects one after another: JSONL, an array, or objects spread over several lines.

An array may be larger than memory: it is read in pieces, one element at a time.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

from haruon_tui.dataset import records, regular_file, strict_json, text_encoding
from haruon_tui.dataset.importing.rows import BadRow, Row
from haruon_tui.dataset.records import MAX_LINE_BYTES, BadLine

PIECE_BYTES = 1 << 20
_SHOWN = 1 << 16


def lines(path: Path, found: text_encoding.Found) -> Iterator[Row | BadRow]:
    """The rows of a JSONL file in any encoding."""
    with regular_file.opened(path) as stream:
        for line in text_encoding.lines(stream, found):
            if isinstance(line, BadLine):
                yield BadRow(path.name, line.number, line.byte, f"the line {line.message}")
                continue
            text = line.text.strip("\ufeff \t\r\n")
            read = records.decode(text.encode(), line.number, line.byte) if text else None
            if isinstance(read, BadLine):
                if found.encoding != "utf-8":
                    read = replace(read, byte=line.byte)  # it counted in UTF-8
                what = f"the line {read.message}"
                yield BadRow(path.name, line.number, read.byte, what, text[:_SHOWN])
            elif read is not None:
                yield Row(path.name, line.number, line.byte, read.record)


def elements(path: Path, found: text_encoding.Found) -> Iterator[Row | BadRow]:
    """The elements of a JSON array, or the objects of a file that holds several."""
    with regular_file.opened(path) as stream:
        yield from _Elements(path.name, stream, found).read()


class _Elements:
    """A window of text on a file that moves forward. `_mark` is a place in it whose byte and line
    in the file are known."""

    def __init__(self, name: str, stream: BinaryIO, found: text_encoding.Found) -> None:
        stream.seek(found.mark)
        self._name, self._stream, self._found = name, stream, found
        # A byte without meaning stays in the text as half a surrogate and spoils its element only.
        errors = "replace" if found.encoding.startswith("utf-16") else "surrogateescape"
        self._errors = errors
        self._decoder = codecs.getincrementaldecoder(found.encoding)(errors)
        self._text, self._place = "", 0
        self._mark, self._byte, self._line = 0, found.mark, 1
        self._number = 0
        self._at_end = False

    def read(self) -> Iterator[Row | BadRow]:
        in_array = self._skip(" \t\r\n\ufeff") == "["
        if in_array:
            self._place += 1
        while opening := self._skip(" \t\r\n,"):
            if opening == "]" and in_array:
                return
            self._number += 1
            self._move_mark()
            outcome = self._element(opening)
            yield outcome
            if isinstance(outcome, BadRow) and outcome.last:
                return

    def _skip(self, characters: str) -> str:
        """Pass over characters; returns the one that comes after, empty at the end."""
        while True:
            while self._place < len(self._text) and self._text[self._place] in characters:
                self._place += 1
            if self._place < len(self._text):
                return self._text[self._place]
            if not self._more():
                return ""

    def _element(self, opening: str) -> Row | BadRow:
        if opening not in "{[":
            return self._stop("is no object: a word or number stands where one should begin")
        while True:
            try:
                value, end = strict_json.read(self._text, self._place)
            except strict_json.Fault as fault:
                closed = strict_json.end_of_value(self._text, self._place)
                if closed is None:
                    if len(self._text) - self._place > MAX_LINE_BYTES:
                        return self._stop("is longer than 16 MiB, or never closed")
                    if self._more():
                        continue
                    return self._stop(f"{fault.what}; the rest of the file cannot be told apart")
                return self._passed(closed, fault.what, fault.place)
            text = self._text[self._place : end]
            if self._errors == "surrogateescape" and any(
                "\udc80" <= letter <= "\udcff" for letter in text
            ):
                return self._passed(end, f"is not {self._found.name}", self._place)
            if not isinstance(value, dict):
                return self._passed(end, "is an array, not an object in braces", self._place)
            return self._row(value, end)

    def _row(self, value: dict[str, Any], end: int) -> Row:
        row = Row(self._name, self._line_at(self._place), self._byte_at(self._place), value)
        self._place = end
        return row

    def _passed(self, end: int, what: str, at: int) -> BadRow:
        raw = self._text[self._place : min(end, self._place + _SHOWN)]
        bad = BadRow(
            self._name,
            self._line_at(at),
            self._byte_at(at),
            f"element {self._number} {what}",
            raw.encode("utf-8", "replace").decode(),
        )
        self._place = end
        return bad

    def _stop(self, what: str) -> BadRow:
        bad = self._passed(self._place, what, self._place)
        return BadRow(bad.file, bad.number, bad.byte, bad.message, bad.raw, last=True)

    def _more(self) -> bool:
        """Read on, dropping what was passed over; False at the end of the file."""
        if self._at_end:
            return False
        self._move_mark()
        self._text = self._text[self._place :]
        self._place = self._mark = 0
        piece = self._stream.read(max(PIECE_BYTES, len(self._text)))
        self._at_end = not piece
        self._text += self._decoder.decode(piece, final=self._at_end)
        return True

    def _move_mark(self) -> None:
        self._byte, self._line = self._byte_at(self._place), self._line_at(self._place)
        self._mark = self._place

    def _byte_at(self, place: int) -> int:
        errors = "surrogatepass" if self._errors == "replace" else "surrogateescape"
        return self._byte + len(
            self._text[self._mark : place].encode(self._found.encoding, errors)
        )

    def _line_at(self, place: int) -> int:
        return self._line + self._text.count("\n", self._mark, place)
