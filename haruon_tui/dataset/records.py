"""Dataset records: JSON lines of chat messages, read so that one bad line spoils no other.

{"messages": [system, user, assistant],
 "metadata": {"id": str, "source": str, "levels": {trait: level}}}

`source` is "golden", "composed", "generated", "file" or "augmented"; an augmented record also has
`of`, the id of the record that it was made from, and `how`.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from haruon_tui.dataset import persona, regular_file, strict_json

MAX_LINE_BYTES = 16 << 20
"""A longer line is reported and passed over, so that reading stays within memory."""

TOO_LONG = f"is longer than {MAX_LINE_BYTES >> 20} MiB"

Record = dict[str, Any]


@dataclass(frozen=True)
class Line:
    """A readable line: `number` counts from 1, `byte` is where it starts in the file."""

    number: int
    byte: int
    record: Record


@dataclass(frozen=True)
class BadLine:
    """A line that is no record. `byte` is where in the file the fault is."""

    number: int
    byte: int
    message: str


def read(path: Path) -> Iterator[Line | BadLine]:
    """The lines of a JSONL file, blank ones left out; only one line is held at a time.

    Raises ConfigurationError for what is no regular file or cannot be opened or read.
    """
    with regular_file.opened(path) as stream:
        yield from read_stream(stream)


def write(path: Path, records: Iterable[Mapping[str, Any]]) -> int:
    """Write one JSON line per record as UTF-8; returns how many."""
    count = 0
    with path.open("wb") as stream:
        for record in records:
            stream.write(encode(record))
            count += 1
    return count


def encode(record: Mapping[str, Any]) -> bytes:
    """The line of a record, with its line end. Half of a surrogate pair, which UTF-8 does not
    have, stays the escape that it was read from."""
    try:
        return json.dumps(record, ensure_ascii=False).encode() + b"\n"
    except UnicodeEncodeError:
        return json.dumps(record).encode() + b"\n"


def make(
    answers: Mapping[str, str],
    report: str,
    *,
    id: str,
    source: str,
    levels: Mapping[str, str],
) -> Record:
    """A training record: the prompt for `answers` (by trait key) and `report` as its answer."""
    return {
        "messages": [
            *persona.prompt_messages(answers),
            {"role": "assistant", "content": report},
        ],
        "metadata": {"id": id, "source": source, "levels": dict(levels)},
    }


def content(record: Mapping[str, Any], role: str) -> str:
    """The text of the record's last message of `role`; empty when there is none."""
    messages = record.get("messages")
    for message in reversed(messages if isinstance(messages, list) else []):
        if isinstance(message, dict) and message.get("role") == role:
            text = message.get("content")
            return text if isinstance(text, str) else ""
    return ""


def answers(record: Mapping[str, Any]) -> dict[str, str] | None:
    """The five answers by trait key, or None when the user's turn is not in the guide's form."""
    match = _USER_TURN.fullmatch(content(record, "user").strip())
    if match is None:
        return None
    return {trait.key: match[trait.key] for trait in persona.TRAITS}


_USER_TURN = re.compile(
    r"[ \t\r]*\n".join(
        rf"{number}\.\s*{trait.korean}\s*:\s*'(?P<{trait.key}>.*)'"
        for number, trait in enumerate(persona.TRAITS, start=1)
    )
)


def read_stream(stream: BinaryIO, number: int = 0, start: int = 0) -> Iterator[Line | BadLine]:
    """The lines of an open stream that comes after `number` lines and `start` bytes of a file."""
    for at, byte, raw in raw_lines(stream, number, start):
        if isinstance(raw, BadLine):
            yield raw
            continue
        line = decode(raw, at, byte)
        if line is not None:
            yield line
            if isinstance(line, BadLine) and _spoils_the_rest(line, raw):
                return


def raw_lines(
    stream: BinaryIO, number: int = 0, start: int = 0
) -> Iterator[tuple[int, int, bytes | BadLine]]:
    """The number of each line, the byte it starts at, and its bytes: a BadLine for one that is
    longer than MAX_LINE_BYTES, of which no more is held in memory."""
    while raw := stream.readline(MAX_LINE_BYTES + 1):
        number += 1
        length = len(raw)
        if length <= MAX_LINE_BYTES:
            yield number, start, raw
        else:
            while raw and not raw.endswith(b"\n"):
                raw = stream.readline(MAX_LINE_BYTES)
                length += len(raw)
            yield number, start, BadLine(number, start, TOO_LONG)
        start += length


def decode(raw: bytes, number: int, start: int) -> Line | BadLine | None:
    """One line of a file, given its number from 1 and the byte it starts at; None when blank."""
    if number == 1:
        if raw.startswith(codecs.BOM_UTF8):
            raw = raw[len(codecs.BOM_UTF8) :]
            start += len(codecs.BOM_UTF8)
        elif raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return BadLine(number, start, _UTF_16)
    try:
        text = raw.decode("utf-8").rstrip("\r\n")  # else a cut-off string ends in a line break
    except UnicodeDecodeError as error:
        return BadLine(number, start + error.start, _not_utf8(raw, error.start))
    if not text or text.isspace():
        return None
    try:
        value = strict_json.loads(text)
    except strict_json.Fault as fault:
        if number == 1 and text.strip() in ("[", "[{"):
            return BadLine(number, start, _ARRAY)
        at = start + len(text[: fault.place].encode("utf-8"))
        what = fault.what
        if text[fault.place : fault.place + 1] == "\0":
            what = "holds a NUL byte, as a cut-off copy or another encoding leaves it"
        return BadLine(number, at, f"{what} at character {fault.place + 1}")
    if isinstance(value, list) and number == 1:
        return BadLine(number, start, _ARRAY)
    if not isinstance(value, dict):
        return BadLine(number, start, f"holds {_kind(value)}, not an object in braces")
    return Line(number, start, value)


_ARRAY = (
    "starts a JSON array; this must be JSONL, one object per line without [ ] around and "
    "without commas between: `haruon data import` turns one into the other"
)
_UTF_16 = "is UTF-16, not UTF-8: `haruon data import` and `haruon data clean` read it"


def _not_utf8(raw: bytes, place: int) -> str:
    what = f"is not UTF-8: byte 0x{raw[place]:02x} has no meaning here"
    try:
        korean = _HANGUL.search(raw.decode("cp949"))
    except UnicodeDecodeError:
        korean = None
    if korean:
        return f"{what}; as CP949 it reads {korean[0]!r}: `haruon data import` reads that encoding"
    return f"{what}; save the file as UTF-8"


_HANGUL = re.compile("[가-힣]{2,8}")


def _spoils_the_rest(line: BadLine, raw: bytes) -> bool:
    """A pretty-printed array or another encoding would only repeat the same fault line after
    line."""
    return line.message == _UTF_16 or (line.message == _ARRAY and b"]" not in raw)


def _kind(value: object) -> str:
    if isinstance(value, bool):
        return "a truth value"
    if isinstance(value, str):
        return "a text"
    if isinstance(value, list):
        return "an array"
    return "null" if value is None else "a number"
