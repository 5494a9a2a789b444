"""Which encoding a text file is in, and its lines with the byte where each starts.

Korean files come as UTF-8 (with or without a mark), as CP949 from Korean Windows and Excel, and as
UTF-16 from "Unicode text". The encoding is found from the bytes alone.
"""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Literal

from haruon_tui.dataset.records import MAX_LINE_BYTES, TOO_LONG, BadLine, raw_lines

Encoding = Literal["utf-8", "cp949", "utf-16-le", "utf-16-be"]

SAMPLE_BYTES = 4 << 20
"""How much of a file decides between UTF-8 and CP949."""

_MARKS: tuple[tuple[bytes, Encoding], ...] = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


@dataclass(frozen=True)
class Found:
    """An encoding, the length of the mark before the text, and how it was told."""

    encoding: Encoding
    mark: int
    evidence: str

    @property
    def name(self) -> str:
        marked = " with a byte-order mark" if self.mark else ""
        return {
            "utf-8": "UTF-8",
            "cp949": "CP949 (Korean Windows)",
            "utf-16-le": "UTF-16 (little endian)",
            "utf-16-be": "UTF-16 (big endian)",
        }[self.encoding] + marked


@dataclass(frozen=True)
class TextLine:
    """One line with its line end; `number` counts from 1, `byte` is where it starts."""

    number: int
    byte: int
    text: str


def find(stream: BinaryIO) -> Found:
    """The encoding of an open file, from its first 4 MiB; the place in the file is kept.

    A file that is neither whole UTF-8 nor whole CP949 counts as UTF-8: its bad lines are then
    told one by one.
    """
    place = stream.tell()
    stream.seek(0)
    sample = stream.read(SAMPLE_BYTES)
    stream.seek(place)
    for mark, encoding in _MARKS:
        if sample.startswith(mark):
            return Found(encoding, len(mark), "the byte-order mark at its start")
    head = sample[:4096]
    if len(head) >= 4:
        pairs = len(head) // 2
        nul_first, nul_second = head[0 : 2 * pairs : 2].count(0), head[1 : 2 * pairs : 2].count(0)
        # Braces, commas, digits and spaces of UTF-16 have a zero byte on one side only.
        if nul_second > 4 * nul_first and nul_second >= pairs // 8:
            return Found("utf-16-le", 0, "a zero byte after every plain character")
        if nul_first > 4 * nul_second and nul_first >= pairs // 8:
            return Found("utf-16-be", 0, "a zero byte before every plain character")
    if _decodes(sample, "utf-8"):
        return Found("utf-8", 0, "every byte of it is UTF-8")
    if _decodes(sample, "cp949") and not _has_korean_utf8(sample):
        return Found("cp949", 0, "its bytes are no UTF-8, and CP949 throughout")
    return Found("utf-8", 0, "most of it; the lines that are not are told one by one")


def lines(stream: BinaryIO, found: Found) -> Iterator[TextLine | BadLine]:
    """The lines of an open file from its start. One that the encoding has no meaning for, or that
    is longer than 16 MiB, is a BadLine."""
    stream.seek(found.mark)
    if found.encoding in ("utf-8", "cp949"):  # neither has 0x0a inside a character
        yield from _byte_lines(stream, found)
    else:
        yield from _wide_lines(stream, found)


def _byte_lines(stream: BinaryIO, found: Found) -> Iterator[TextLine | BadLine]:
    for number, start, raw in raw_lines(stream, start=found.mark):
        if isinstance(raw, BadLine):
            yield raw
            continue
        try:
            yield TextLine(number, start, raw.decode(found.encoding))
        except UnicodeDecodeError as error:
            what = f"is not {found.name}: byte 0x{raw[error.start]:02x} has no meaning here"
            yield BadLine(number, start + error.start, what)


def _wide_lines(stream: BinaryIO, found: Found) -> Iterator[TextLine | BadLine]:
    number, start = 0, found.mark
    # A lone half of a surrogate pair reads as U+FFFD, which is two bytes as well.
    text = io.TextIOWrapper(stream, found.encoding, errors="replace", newline="\n")
    try:
        while line := text.readline(MAX_LINE_BYTES // 2):
            number += 1
            length = _width(line, found)
            if len(line) >= MAX_LINE_BYTES // 2 and not line.endswith("\n"):
                while line and not line.endswith("\n"):
                    line = text.readline(MAX_LINE_BYTES // 2)
                    length += _width(line, found)
                yield BadLine(number, start, TOO_LONG)
            elif (place := line.find("\ufffd")) >= 0:
                at = start + _width(line[:place], found)
                yield BadLine(number, at, f"is not {found.name}: half a character stands here")
            else:
                yield TextLine(number, start, line)
            start += length
    finally:
        if not stream.closed:  # a caller may stop in the middle, and close first
            text.detach()


def _width(text: str, found: Found) -> int:
    return len(text.encode(found.encoding, "surrogatepass"))


def _decodes(sample: bytes, encoding: str) -> bool:
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        decoder.decode(sample, final=len(sample) < SAMPLE_BYTES)
    except UnicodeDecodeError:
        return False
    return True


def _has_korean_utf8(sample: bytes) -> bool:
    """Whether some line is Korean in UTF-8: one bad byte elsewhere does not make a file CP949."""
    for line in sample.split(b"\n"):
        if not line.isascii():
            try:
                if _HANGUL.search(line.decode("utf-8")):
                    return True
            except UnicodeDecodeError:
                continue
    return False


_HANGUL = re.compile("[가-힣]{2}")
