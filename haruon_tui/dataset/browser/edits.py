"""Changed lines of a JSONL file, saved so that a kill at any moment leaves the old or the new.

A file of at most SMALL bytes is written whole beside itself, synced and renamed. Where that would
be slow or wrong (a large file, one that another program is still writing, an artefact that its
manifest describes, a folder without room), the source is not touched: the changes lie beside it in
`NAME.edits.jsonl`, which is itself replaced in one step, until they are written out. Its lines:

    {"format": "haruon-edits", "version": 1, "source": NAME}
    {"start": byte, "length": bytes, "sha256": of the source's line, "line": the new text}

A change counts only while the source still has that line at that place.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from haruon_tui import artifacts
from haruon_tui.dataset import records
from haruon_tui.errors import ConfigurationError, StageError

SMALL = 64 << 20
_BLOCK = 1 << 20
_HEAD = {"format": "haruon-edits", "version": 1}


@dataclass(frozen=True)
class Edit:
    """A line of the source at [start, start + length), and the text that stands for it."""

    start: int
    length: int
    sha256: str
    line: str


class Overlay:
    """The changes beside one file, by the byte their line starts at."""

    def __init__(self, source: Path) -> None:
        self.source = source
        self.path = source.with_name(f"{source.name}.edits.jsonl")
        self.edits: dict[int, Edit] = {}
        self.left_out = 0
        """Changes whose line is no longer in the source."""

    def load(self) -> None:
        """Read what lies there. Raises ConfigurationError for a file that is something else."""
        self.edits, self.left_out = {}, 0
        if not self.path.exists():
            return
        lines = list(records.read(self.path))
        head = lines[0].record if lines and isinstance(lines[0], records.Line) else {}
        if head.get("format") != "haruon-edits" or head.get("version") != 1:
            raise ConfigurationError(
                "is no file of changes that this version reads",
                where=str(self.path),
                expected='a first line with "format": "haruon-edits", "version": 1',
                do="move it away to see the source as it is",
            )
        with self.source.open("rb") as stream:
            for line in lines[1:]:
                edit = _edit(line)
                if edit is not None:
                    stream.seek(edit.start)
                    if digest(stream.read(edit.length)) == edit.sha256:
                        self.edits[edit.start] = edit
                        continue
                self.left_out += 1

    def put(self, start: int, original: bytes, line: bytes) -> None:
        """Let `line`, in UTF-8, stand for the source's `original` at `start`; the same text
        takes the change back. Raises OSError, and nothing has changed then."""
        edits = dict(self.edits)
        if line == original.rstrip(b"\r\n"):
            edits.pop(start, None)
        else:
            text = line.decode("utf-8")
            edits[start] = Edit(start, len(original), digest(original), text)
        self._save(edits)
        self.edits = edits

    def clear(self) -> None:
        """Forget every change: they were written out."""
        self._save({})
        self.edits = {}

    def _save(self, edits: dict[int, Edit]) -> None:
        if not edits:
            self.path.unlink(missing_ok=True)
            return
        head = json.dumps({**_HEAD, "source": self.source.name}, ensure_ascii=False)
        lines = [json.dumps(vars(edit)) for _, edit in sorted(edits.items())]
        artifacts.write_text(self.path, "\n".join([head, *lines]) + "\n")


def replace_line(path: Path, start: int, expected: bytes, line: bytes) -> None:
    """Write the file again with `line` instead of `expected` at byte `start`, in one step.

    The end of the line, its newline or the lack of one, stays. A link stays a link, and the mode
    stays. Raises StageError when the file has other bytes there by now, OSError when it cannot be
    written; the file is as it was then.
    """
    path = path.resolve()
    mode = stat.S_IMODE(path.stat().st_mode)
    body = expected.rstrip(b"\r\n")
    with path.open("rb") as source:
        size = os.fstat(source.fileno()).st_size
        source.seek(start)
        if source.read(len(expected)) != expected:
            raise StageError(
                "was changed by another program meanwhile; nothing was written",
                where=f"{path} at byte {start}",
                do="open it again and repeat the change",
            )
        with artifacts.replacing(path) as temporary:
            with temporary.open("wb") as out:
                copy_range(source, out, 0, start)
                out.write(line + expected[len(body) :])
                copy_range(source, out, start + len(expected), size)
            temporary.chmod(mode)
            if os.fstat(source.fileno()).st_size != size:
                raise StageError(
                    "grew while it was written; nothing was changed",
                    where=str(path),
                    do="repeat the change: it will be kept beside the file",
                )


def copy_range(source: BinaryIO, out: BinaryIO, start: int, end: int) -> None:
    """Copy bytes [start, end) from one stream to another."""
    source.seek(start)
    left = end - start
    while left > 0 and (block := source.read(min(_BLOCK, left))):
        out.write(block)
        left -= len(block)


def may_replace(path: Path) -> bool:
    """Whether a change of one line may write the whole file again."""
    path = path.resolve()
    return (
        path.stat().st_size <= SMALL
        and not (path.parent / artifacts.MANIFEST).is_file()
        and os.access(path.parent, os.W_OK)
    )


def checked(text: str) -> str:
    """The text of one record as one line. Raises StageError when it is no record."""
    try:
        raw = text.strip().encode("utf-8")
    except UnicodeEncodeError as error:
        raise StageError(
            f"cannot be saved as UTF-8: {error.reason}",
            where=f"character {error.start + 1}",
            do="write a lone surrogate as \\udXXX in the JSON view",
        ) from None
    decoded = records.decode(raw.replace(b"\r\n", b" ").replace(b"\n", b" "), 0, 0)
    if not isinstance(decoded, records.Line):
        why = decoded.message if decoded else "is empty"
        raise StageError(
            f"the record {why}", expected="one JSON object", do="mend it, or leave with Escape"
        )
    # Line breaks between values are the view's; within a text they are written \n.
    if "\n" not in text.strip():
        return text.strip()
    return json.dumps(decoded.record, ensure_ascii=False)


def digest(raw: bytes) -> str:
    """sha256 of a line without its newline."""
    return hashlib.sha256(raw.rstrip(b"\r\n")).hexdigest()


def _edit(line: records.Line | records.BadLine) -> Edit | None:
    if isinstance(line, records.BadLine):
        return None
    try:
        edit = Edit(**line.record)
    except TypeError:
        return None
    whole = isinstance(edit.start, int) and isinstance(edit.length, int) and edit.start >= 0
    return edit if whole and isinstance(edit.line, str) and "\n" not in edit.line else None
