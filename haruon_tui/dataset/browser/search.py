"""Searching a JSONL file: a text in all the ways JSON may write it, or a regular expression.

A text is looked for in the bytes of the file, which is fast, and each line that has it is then
decoded to see whether a *value* contains it (not a key). A regular expression is matched against
the decoded values, one line at a time. Both look at NFC: a file may spell Korean either way.
"""

from __future__ import annotations

import itertools
import json
import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import RawIOBase

from haruon_tui.dataset import records
from haruon_tui.dataset.browser.rows import texts

BLOCK = 1 << 20
_JAMO = tuple(bytes((0xE1, second)) for second in (0x84, 0x85, 0x86, 0x87))
"""How the UTF-8 of conjoining jamo (U+1100 to U+11FF) starts: NFD Korean has them."""


class BadPattern(ValueError):
    """A regular expression that cannot be compiled; the message says what and where."""


@dataclass(frozen=True)
class Spelling:
    """How a file writes its texts: decides which forms of a text are worth looking for."""

    escapes: bool = True
    """Whether it has \\u escapes at all."""
    decomposed: bool = True
    """Whether it has conjoining jamo or combining marks, raw or escaped."""


@dataclass(frozen=True)
class Query:
    """What is searched. Raises BadPattern."""

    text: str
    regex: bool = False

    def __post_init__(self) -> None:
        if not self.text:
            raise BadPattern("there is nothing to search for")
        if self.regex:
            _compile(self.text)

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Where it is in a text that is shown: [start, end) of every place that is not empty."""
        pattern = _compile(self.text if self.regex else re.escape(self.text))
        found = (match.span() for match in pattern.finditer(text))
        return [(start, end) for start, end in itertools.islice(found, 1000) if end > start]

    def within(self, text: str) -> bool:
        """Whether a value has it."""
        normal = unicodedata.normalize("NFC", text)
        if self.regex:
            return _compile(self.text).search(normal) is not None
        return unicodedata.normalize("NFC", self.text) in normal

    def in_line(self, raw: bytes) -> bool:
        """Whether a value of the line has it; of a line that is no record, the line itself."""
        decoded = records.decode(raw, 0, 0)
        if isinstance(decoded, records.Line):
            return any(self.within(text) for text in texts(decoded.record))
        return self.within(raw.decode("utf-8", errors="replace"))


def _compile(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern, re.MULTILINE)
    except re.error as error:
        at = f" at character {error.pos + 1}" if error.pos is not None else ""
        raise BadPattern(f"is no regular expression: {error.msg}{at}") from None
    except (RecursionError, OverflowError) as error:
        raise BadPattern(f"is no usable regular expression: {error}") from None


def forms(text: str, spelling: Spelling) -> list[bytes]:
    """The byte strings that stand for `text` in a JSON string.

    NFC and NFD; raw, or all that is not ASCII as \\u escapes with small or with capital digits;
    `<`, `>`, `&`, `=` and `'` raw or escaped, as web libraries do; `/` raw or as `\\/`.
    """
    normal = {unicodedata.normalize("NFC", text)}
    if spelling.decomposed:
        normal |= {text, unicodedata.normalize("NFD", text)}
    found: dict[bytes, None] = {}
    for spelled in sorted(normal):
        for ascii_only in (False, True) if spelling.escapes else (False,):
            written = json.dumps(spelled, ensure_ascii=ascii_only)[1:-1]
            for web in (False, True) if spelling.escapes else (False,):
                escaped = re.sub(r"[<>&='\x7f]", _unicode, written) if web else written
                for slash in (escaped, escaped.replace("/", "\\/")):
                    found[slash.encode("utf-8", "surrogatepass")] = None
                    if spelling.escapes:
                        found[_capital(slash).encode("utf-8", "surrogatepass")] = None
    return list(found)


def _unicode(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"


def _capital(written: str) -> str:
    """`written` with capital hexadecimal digits in its escapes; a doubled backslash is none."""
    return re.sub(
        r"\\(\\|u[0-9a-f]{4})",
        lambda match: "\\" + (match[1] if match[1] == "\\" else "u" + match[1][1:].upper()),
        written,
    )


def spelling_of(stream: RawIOBase) -> Spelling:
    """How a file writes its texts, from all of it."""
    decomposed = False
    for block in blocks(stream, 1):
        if _has_escape(block):
            return Spelling(escapes=True, decomposed=True)
        decomposed = decomposed or _has_jamo(block)
    # Combining marks beyond Korean (é as e and U+0301) are searched for when there are escapes
    # or jamo; in a file that has neither, a text is taken as it is typed.
    return Spelling(escapes=False, decomposed=decomposed)


def _has_escape(block: Block) -> bool:
    """Whether \\u is in it. Pairs of bytes compared as numbers: twice as fast as `find`, which
    stops at each of the many other backslashes."""
    import numpy as np  # not at the top: the UI process loads this module

    pair = int.from_bytes(b"\\u", "little")
    for offset in (0, 1):
        pairs = np.frombuffer(block.data, "<u2", (block.end - offset) // 2, offset)
        if (pairs == pair).any():
            return True
    return False


def _has_jamo(block: Block) -> bool:
    if block.data.find(b"\xe1", 0, block.end) < 0:  # quick: one byte, and rare in Korean
        return False
    return any(block.data.find(jamo, 0, block.end) >= 0 for jamo in _JAMO)


@dataclass(frozen=True)
class Block:
    """Whole lines of a file from byte `start`; `end` bytes of `data` belong to it, and `data`
    holds only until the next block. Of a line that is longer than memory should hold, `piece` is
    a part and `line_start` where the line starts."""

    start: int
    data: bytearray
    end: int
    piece: bool
    line_start: int


def blocks(stream: RawIOBase, overlap: int) -> Iterator[Block]:
    """The file as blocks of whole lines. Pieces of a long line overlap by `overlap` bytes."""
    data = bytearray(2 * BLOCK)
    filled = start = line_start = 0
    piece = False
    while True:
        if len(data) - filled < BLOCK:
            data.extend(bytes(BLOCK))
        with memoryview(data) as view:
            count = stream.readinto(view[filled : filled + BLOCK]) or 0
        if not count:
            break
        filled += count
        done = 0
        if piece and (newline := data.find(b"\n", 0, filled) + 1):  # the long line ends here
            yield Block(start, data, newline, True, line_start)
            done, piece = newline, False
        end = 0 if piece or done else data.rfind(b"\n", 0, filled) + 1
        if end:
            yield Block(start, data, end, False, start)
            done = end
        elif not done and (piece or filled > records.MAX_LINE_BYTES):
            line_start = line_start if piece else start
            piece = True
            yield Block(start, data, filled, True, line_start)
            done = filled - min(overlap, filled)
        data[: filled - done] = data[done:filled]
        start, filled = start + done, filled - done
    if filled:
        yield Block(start, data, filled, piece, line_start if piece else start)


def lines_with_text(block: Block, query: Query, wanted: list[bytes]) -> Iterator[int]:
    """The starts (bytes in the file) of lines of the block that have the text."""
    if block.piece:  # too long to decode: the bytes alone decide
        if any(block.data.find(form, 0, block.end) >= 0 for form in wanted):
            yield block.line_start
        return
    found: set[int] = set()
    for form in wanted:
        at = block.data.find(form, 0, block.end)
        while at >= 0:
            start = block.data.rfind(b"\n", 0, at) + 1
            end = block.data.find(b"\n", at, block.end)
            end = block.end if end < 0 else end + 1
            if start not in found and query.in_line(bytes(block.data[start:end])):
                found.add(start)
            at = block.data.find(form, end, block.end)
    yield from (block.start + start for start in sorted(found))


def lines_with_match(
    block: Block, query: Query, between: Callable[[int], None] = lambda at: None
) -> Iterator[int]:
    """The same for a regular expression. `between` is told where each line starts."""
    if block.piece:
        between(block.line_start)
        if query.within(block.data[: block.end].decode("utf-8", errors="replace")):
            yield block.line_start
        return
    start = 0
    while start < block.end:
        end = block.data.find(b"\n", start, block.end)
        end = block.end if end < 0 else end + 1
        between(block.start + start)
        if query.in_line(bytes(block.data[start:end])):
            yield block.start + start
        start = end
