"""A JSONL file in blocks of whole lines, so that several processes can check it."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from haruon_tui.dataset import records, regular_file

BLOCK_BYTES = 512 << 10
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass(frozen=True)
class Block:
    """Whole lines: `lines` lines and `byte` bytes of the file come before them."""

    lines: int
    byte: int
    data: bytes

    def records(self) -> Iterator[records.Line | records.BadLine]:
        """The block's lines, decoded."""
        return records.read_stream(BytesIO(self.data), self.lines, self.byte)


def split(path: Path, size: int = BLOCK_BYTES) -> Iterator[Block]:
    """The file in blocks of about `size` bytes; a longer line makes a longer block, and of a line
    above records.MAX_LINE_BYTES only so much is kept that it is refused.

    Raises ConfigurationError for what is no regular file or cannot be opened or read.
    """
    with regular_file.opened(path) as stream:
        yield from _split(stream, size)


def _split(stream: BinaryIO, size: int) -> Iterator[Block]:
    lines = byte = 0
    while data := stream.read(size):
        length = len(data)
        if not data.endswith(b"\n"):
            rest = stream.readline(records.MAX_LINE_BYTES + 2)
            length += len(rest)
            data += rest
            while rest and not rest.endswith(b"\n"):  # too long for a record: pass over it
                rest = stream.readline(records.MAX_LINE_BYTES)
                length += len(rest)
        yield Block(lines, byte, data)
        if byte == 0 and data.startswith(_UTF_16):
            return  # its first line says so; the others would only repeat it
        lines += data.count(b"\n") + (not data.endswith(b"\n"))
        byte += length
