"""Conversations kept as they happen: a JSON Lines file each in chat/sessions, only ever added to.

The first line says what the file is. After it come `asked` (a new turn), `said` (a piece of its
answer), `ended` and `head` (the turn that is talked on from). A last line that a crash cut off is
left out; an answer that did not end is marked so when the file is read again.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import time
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from haruon_tui.chat.tree import ROOT, Tree, Turn
from haruon_tui.errors import StageError

FOLDER = Path("chat", "sessions")
"""Below the workspace's folder."""

FORMAT = 1
BROKEN = "broken off"

_EXCERPT = 60


def asked(turn: Turn) -> dict[str, Any]:
    """The line of a new turn."""
    return {
        "kind": "asked",
        "turn": turn.number,
        "parent": turn.parent,
        "prompt": turn.prompt,
        "model": turn.model,
        "system": turn.system,
        "sampling": turn.sampling,
        "t": turn.time,
    }


def said(turn: Turn, piece: str) -> dict[str, Any]:
    """The line of a piece of an answer."""
    return {"kind": "said", "turn": turn.number, "text": piece}


def ended(turn: Turn) -> dict[str, Any]:
    """The line of an answer's end."""
    return {"kind": "ended", "turn": turn.number, "reason": turn.reason, "note": turn.note}


def head(number: int) -> dict[str, Any]:
    """The line of a step to another turn."""
    return {"kind": "head", "turn": number}


class SessionFile:
    """A conversation's file, held for writing by one program at a time. Its methods touch the
    disk: never on the event loop."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    @classmethod
    def new(cls, folder: Path) -> SessionFile:
        """One of a new name in a workspace. Nothing is written before something is said."""
        name = f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}.jsonl"
        return cls(folder / FOLDER / name)

    def open(self) -> None:
        """Hold the file. Raises StageError when another program does, or it cannot be made."""
        if self._descriptor is not None:
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
        except OSError as error:
            raise self._fault(error) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            raise StageError(
                "another program has this conversation open",
                where=str(self.path),
                do="close it there, or begin a new one",
            ) from error
        self._descriptor = descriptor

    def add(self, lines: list[dict[str, Any]]) -> None:
        """Add lines and sync them to the disk, all or none. Raises StageError."""
        self.open()
        assert self._descriptor is not None
        descriptor, data = self._descriptor, b"".join(map(_encoded, lines))
        try:
            size = os.fstat(descriptor).st_size
            if size == 0:
                data = _encoded({"kind": "session", "format": FORMAT}) + data
            elif os.pread(descriptor, 1, size - 1) != b"\n":  # a line that a crash cut off
                data = b"\n" + data
            try:
                if os.write(descriptor, data) < len(data):
                    raise OSError(28, os.strerror(28))
                os.fsync(descriptor)
            except OSError:
                os.ftruncate(descriptor, size)
                raise
        except OSError as error:
            raise self._fault(error) from error

    def close(self) -> None:
        """Let it go. May be called twice."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _fault(self, error: OSError) -> StageError:
        return StageError(
            f"the conversation is not kept: {error.strerror or error}",
            where=str(self.path),
            expected="a disk with room and a folder that can be written",
            do="make room or mend the permissions; what is said from then on is kept",
        )


def read(path: Path) -> Tree:
    """The conversation in a file; what is no line of one is passed over.

    Raises StageError when it cannot be read or is no conversation.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise StageError(
            f"it cannot be read: {error.strerror or error}", where=str(path)
        ) from error
    first = _object(lines[0]) if lines else {}
    if first.get("kind") != "session" or first.get("format") != FORMAT:
        raise StageError(
            "is no conversation that this version knows",
            where=str(path),
            expected=f'a first line with "kind": "session" and "format": {FORMAT}',
        )
    tree, pieces = Tree(), dict[int, list[str]]()
    for line in lines[1:]:
        _take(tree, pieces, _object(line))
    for number, turn in tree.turns.items():
        turn.answer = "".join(pieces.get(number, ()))
        if turn.open:
            turn.open, turn.reason, turn.note = False, BROKEN, "broken off: the program ended"
    return tree


@dataclass(frozen=True)
class Kept:
    """A conversation in the list. `changed` is in Unix seconds; `excerpt` is where the words
    that were searched stand."""

    path: Path
    changed: float
    title: str
    turns: int
    excerpt: str = ""


def kept(folder: Path, words: str = "") -> list[Kept]:
    """The conversations of a workspace that have all these words, the newest first. Upper and
    lower case and the two ways to write Hangul are one. Touches the disk."""
    wanted = [_folded(word) for word in words.split()]
    found = []
    for path in (folder / FOLDER).glob("*.jsonl"):
        try:
            tree, changed = read(path), path.stat().st_mtime
        except (StageError, OSError):
            continue
        turns = list(tree.turns.values())
        texts = [text for turn in turns for text in (turn.prompt, turn.answer, turn.model)]
        folded = [_folded(text) for text in texts]
        if turns and all(any(word in text for text in folded) for word in wanted):
            title = " ".join(turns[0].prompt.split())
            excerpt = _excerpt(texts, folded, wanted[0]) if wanted else ""
            found.append(Kept(path, changed, title, len(turns), excerpt))
    return sorted(found, key=lambda one: one.changed, reverse=True)


def _excerpt(texts: list[str], folded: list[str], word: str) -> str:
    """The text around the first place of a word."""
    for text, low in zip(texts, folded, strict=True):
        if (place := low.find(word)) >= 0:
            shown = text if len(text) == len(low) else low
            start = max(0, place - _EXCERPT // 3)
            cut = " ".join(shown[start : start + _EXCERPT].split())
            return ("…" if start else "") + cut
    return ""


def _folded(text: str) -> str:
    return unicodedata.normalize("NFC", text).casefold()


def _take(tree: Tree, pieces: dict[int, list[str]], line: dict[str, Any]) -> None:
    number, parent = _whole(line.get("turn")), _whole(line.get("parent"))
    turn = tree.turns.get(number)
    match line.get("kind"):
        case "asked" if turn is None and number > ROOT:
            sampling, at = line.get("sampling"), line.get("t")
            tree.turns[number] = Turn(
                number,
                parent if parent in tree.turns else ROOT,
                str(line.get("prompt", "")),
                str(line.get("model", "")),
                str(line.get("system", "")),
                sampling if isinstance(sampling, dict) else {},
                float(at) if isinstance(at, int | float) else 0.0,
            )
            tree.head = number
        case "said" if turn:
            pieces.setdefault(number, []).append(str(line.get("text", "")))
        case "ended" if turn:
            turn.open = False
            turn.reason, turn.note = str(line.get("reason", "")), str(line.get("note", ""))
        case "head" if turn or number == ROOT:
            tree.head = number


def _whole(value: object) -> int:
    """A number of a turn; -1 for what is none."""
    return value if isinstance(value, int) and not isinstance(value, bool) else -1


def _object(line: bytes) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _encoded(line: dict[str, Any]) -> bytes:
    # Escaped, because a model may write a lone surrogate, which UTF-8 cannot.
    return json.dumps(line).encode("ascii") + b"\n"
