"""One JSONL file that is open: its lines with their changes and decisions, and their history."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from haruon_tui.dataset import records
from haruon_tui.dataset.browser import edits, rows
from haruon_tui.dataset.browser.line_index import LineIndex
from haruon_tui.dataset.browser.review import Review
from haruon_tui.dataset.browser.rows import open_regular
from haruon_tui.dataset.browser.write_out import Change, write_out
from haruon_tui.errors import ConfigurationError, StageError

_SETTLED_SECONDS = 5.0
"""A last line without newline that nobody has written to for so long is taken as it is."""


@dataclass(frozen=True)
class Step:
    """One change in the history: what the line was and became."""

    line: int
    before: str
    after: str


class Document:
    """Raises ConfigurationError when the file cannot be opened. Not safe to share."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = open_regular(path)
        self.index = LineIndex()
        self.overlay = edits.Overlay(path)
        self.review = Review(path)
        self.overlay.load()
        self.review.load()
        self.undone: list[Step] = []
        self.done: list[Step] = []
        self._revisions: Counter[int] = Counter()
        self.grown = False
        self._written = 0
        self._stamp = _stamp(os.fstat(self._descriptor))

    def close(self) -> None:
        os.close(self._descriptor)

    def has_changed(self) -> bool:
        """Whether another program has replaced or shortened the file, or written inside it."""
        try:
            now = os.stat(self.path)
        except OSError:
            return False  # deleted: what was opened can still be read
        inode, _, modified = self._stamp
        same = now.st_ino == inode and now.st_size >= self.index.size
        return not same or (now.st_size == self.index.size and now.st_mtime_ns != modified)

    def size(self) -> int:
        """Bytes of the file by now, also those that the index does not know yet."""
        return os.fstat(self._descriptor).st_size

    def has_grown(self) -> bool:
        """Whether there are bytes that the index does not know."""
        status = os.fstat(self._descriptor)
        grown = status.st_size > self.index.size
        if grown:
            self._stamp = _stamp(status)
        return grown

    def judge_tail(self) -> str:
        """Decide whether what follows the last newline is a line; else say what it is."""
        start = self.index.tail_start
        length = self.index.size - start
        self.index.tail_counts = False
        if length == 0:
            return ""
        line = self.index.complete
        raw = rows.read_line(self._descriptor, start, length)
        whole = isinstance(rows.decode(line, raw, start, length), records.Line)
        status = os.fstat(self._descriptor)
        ours = status.st_mtime_ns == self._written
        quiet = ours or time.time() - status.st_mtime > _SETTLED_SECONDS
        self.index.tail_counts = whole or quiet
        if self.index.tail_counts:
            return ""
        return f"line {line + 1} is not complete (byte {start}): still being written"

    def raw(self, line: int) -> bytes:
        """The line as it is now, newline included; cut where it is longer than a record may be.
        Raises IndexError, OSError."""
        start, length = self.index.span(line)
        if edit := self.overlay.edits.get(start):
            return edit.line.encode("utf-8", "surrogatepass")
        return rows.read_line(self._descriptor, start, length)

    def changed_text(self, line: int) -> str | None:
        """The text that stands for the line, None where the source's own stands."""
        edit = self.overlay.edits.get(self.index.span(line)[0])
        return edit.line if edit else None

    def row(self, line: int) -> rows.Row:
        """The line's row, with its decision, whether the source has another text, and how often
        it was changed since the file was opened."""
        start, length = self.index.span(line)
        raw = self.raw(line)
        changed = start in self.overlay.edits
        decided = self.review.decisions.get(line)
        return {
            **rows.row(line, raw, start, len(raw) if changed else length),
            "decision": decided.decision if decided else "",
            "edited": changed,
            "revision": self._revisions[line],
        }

    def record(self, line: int) -> dict[str, Any]:
        """Everything the reading pane and the editor show: the row, `start`, `reason` of the
        decision, `parts` (JSON path, name and text of each text) and `text` (the line; None
        where it is too long)."""
        start, length = self.index.span(line)
        raw = self.raw(line)
        decided = self.review.decisions.get(line)
        shown = {**self.row(line), "start": start, "reason": decided.reason if decided else ""}
        too_long = length > records.MAX_LINE_BYTES
        text = None if too_long else raw.decode("utf-8", "replace").rstrip("\r\n")
        decoded = rows.decode(line, raw, start, length if too_long else len(raw))
        parts = _parts(decoded.record) if isinstance(decoded, records.Line) else []
        return {**shown, "parts": parts, "text": text}

    def digest(self, line: int) -> str | None:
        """sha256 of the line as it is now; None where there is none."""
        try:
            return edits.digest(self.raw(line))
        except IndexError:
            return None

    def decide(self, line: int, decision: str, reason: str) -> None:
        """Accept or reject. Raises OSError, IndexError."""
        self.review.decide(line, edits.digest(self.raw(line)), decision, reason)

    def change(self, line: int, text: str) -> None:
        """Save another text for the line. Raises StageError for a text that is no record, or
        when the file was changed by another program; OSError when it cannot be written."""
        after = edits.checked(text)
        before = self._body(line)
        if after != before:
            self._put(line, after)
            self.done.append(Step(line, before, after))
            self.undone.clear()

    def undo(self) -> int | None:
        """Take the last change back; the line, None when there is none. Raises like `change`."""
        if not self.done:
            return None
        step = self.done[-1]
        self._put(step.line, step.before)
        self.undone.append(self.done.pop())
        return step.line

    def redo(self) -> int | None:
        """Make the change again that was taken back last."""
        if not self.undone:
            return None
        step = self.undone[-1]
        self._put(step.line, step.after)
        self.done.append(self.undone.pop())
        return step.line

    def replaces(self) -> bool:
        """Whether a change writes the file itself, and not the file of changes beside it."""
        return not self.grown and not self.overlay.edits and edits.may_replace(self.path)

    def write_out(self, path: Path, *, leave_rejected: bool) -> int:
        """Write the lines with their changes to another file; see write_out.write_out."""
        return self.writing_out(path, leave_rejected=leave_rejected)()

    def writing_out(self, path: Path, *, leave_rejected: bool) -> Callable[[], int]:
        """The same for another thread: a call that writes what there is now."""
        if path.resolve() == self.path.resolve():
            raise ConfigurationError(
                "is the file that is open", where=str(path), do="name another file"
            )
        changes = {
            start: Change(start, edit.length, edit.line, None)
            for start, edit in self.overlay.edits.items()
        }
        if leave_rejected:
            for line, said in self.review.decisions.items():
                if said.decision == "reject":
                    start, length = self.index.span(line)
                    changes[start] = Change(
                        start, length, self.changed_text(line), said.reason or "no reason given"
                    )
        source = self.path.open("rb")
        if os.fstat(source.fileno()).st_ino != self._stamp[0]:
            source.close()
            raise StageError("was replaced by another program", where=str(self.path))
        end = self.index.size if self.index.tail_counts else self.index.tail_start
        return partial(write_out, source, end, changes, path)

    def _body(self, line: int) -> str:
        try:
            return self.raw(line).rstrip(b"\r\n").decode("utf-8", "surrogateescape")
        except IndexError as error:
            raise StageError(
                "the line is no longer there", where=f"{self.path}: {error}"
            ) from None

    def _put(self, line: int, text: str) -> None:
        decided = self.review.decisions.get(line)
        start, length = self.index.span(line)
        if length > records.MAX_LINE_BYTES:
            raise StageError(
                "the line is too long to be changed here",
                where=f"{self.path}:{line + 1}",
                expected=f"at most {records.MAX_LINE_BYTES >> 20} MiB",
            )
        original = rows.read_line(self._descriptor, start, length)
        body = text.encode("utf-8", "surrogateescape")
        if self.replaces():
            edits.replace_line(self.path, start, original, body)
            self.index.shift(line, len(body) - len(original.rstrip(b"\r\n")))
            os.close(self._descriptor)
            self._descriptor = open_regular(self.path)
            self._stamp = _stamp(os.fstat(self._descriptor))
            self._written = self._stamp[2]
        else:
            self.overlay.put(start, original, body)
        self._revisions[line] += 1
        if decided:
            self.decide(line, decided.decision, decided.reason)  # it holds for the new text too


def _stamp(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_ino, status.st_size, status.st_mtime_ns


def _parts(record: records.Record) -> list[dict[str, str]]:
    """The texts of a record as they are shown: each message, then whatever else has text."""
    parts: list[dict[str, str]] = []
    messages = record.get("messages")
    for place, message in enumerate(messages if isinstance(messages, list) else []):
        if isinstance(message, dict):
            role, content = message.get("role"), message.get("content")
            name = role if isinstance(role, str) else "no role"
            text = content if isinstance(content, str) else "(no text)"
        else:
            name, text = "no message", str(message)[:1000]
        parts.append({"path": f"$.messages[{place}].content", "name": name, "text": text})
    for key, value in record.items():
        if key != "messages":
            text = value if isinstance(value, str) else "\n".join(_lines(value))
            parts.append({"path": f"$.{key}", "name": key, "text": text})
    return parts


def _lines(value: object, depth: int = 0) -> list[str]:
    """A JSON value as indented lines, readable and never deeper than one looks."""
    indent = "  " * depth
    if depth > 8:
        return [f"{indent}…"]
    if isinstance(value, dict):
        pairs = list(value.items())
    elif isinstance(value, list):
        pairs = [("-", part) for part in value]
    else:
        return [f"{indent}{'null' if value is None else value}"]
    found = []
    for key, part in pairs[:200]:
        if isinstance(part, dict | list):
            found += [f"{indent}{key}:", *_lines(part, depth + 1)]
        else:
            found.append(f"{indent}{key}: {'null' if part is None else part}")
    return found
