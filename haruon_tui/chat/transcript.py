"""A conversation written out: Markdown to read, and JSON Lines that the dataset import reads."""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path

from haruon_tui import artifacts
from haruon_tui.chat.protocol import Message
from haruon_tui.chat.tree import Tree, Turn
from haruon_tui.errors import StageError

EXPORTS = Path("chat", "exports")
EXAMPLES = Path("chat", "examples.jsonl")
"""Both below the workspace's folder."""

_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})[^\n]*\n(.*?)(?:^ {0,3}\1[`~]*[ \t]*$|\Z)", re.M | re.S)


def code_blocks(text: str) -> list[str]:
    """The insides of a text's fenced code blocks."""
    return [found.group(2) for found in _FENCE.finditer(text)]


def markdown(turns: list[Turn]) -> str:
    """The turns with who spoke, when, and how each answer went."""
    parts = []
    for turn in turns:
        at = time.strftime("%Y-%m-%d %H:%M", time.localtime(turn.time)) if turn.time else ""
        parts.append(f"**You** {at}".rstrip() + f"\n\n{turn.prompt}")
        note = f"\n\n*{turn.note}*" if turn.note else ""
        parts.append(f"**{turn.model}**\n\n{turn.answer}{note}")
    system = turns[0].system if turns else ""
    quoted = "".join(f"> {line}\n" for line in system.splitlines())
    return "\n\n".join(filter(None, [quoted.rstrip(), *parts])) + "\n"


def record(messages: list[Message]) -> str:
    """One line with the messages, of the form the training data has."""
    return json.dumps({"messages": _well_formed(messages)}, ensure_ascii=False)


def export(folder: Path, name: str, tree: Tree) -> tuple[Path, Path]:
    """Write the path to the head as Markdown and as one JSON line; returns both files.

    Raises StageError when they cannot be written. Touches the disk.
    """
    turns = [turn for turn in tree.path() if turn.answer]
    place = folder / EXPORTS / name
    files = place.with_suffix(".md"), place.with_suffix(".jsonl")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        text = markdown(turns).encode("utf-8", errors="replace").decode()
        artifacts.write_text(files[0], text)
        line = record(tree.messages(turns[-1], answered=True)) + "\n" if turns else ""
        artifacts.write_text(files[1], line)
    except OSError as error:
        raise _fault(error, place) from error
    return files


def keep_example(folder: Path, messages: list[Message]) -> tuple[Path, int, bool]:
    """Add an example to the workspace's own ones: the file, how many it has now, and whether it
    is a new one. Raises StageError when it cannot be written. Touches the disk."""
    file, line = folder / EXAMPLES, record(messages)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("ab+") as stream:
            stream.seek(0)
            before = stream.read()
            text = before.decode("utf-8", errors="replace")
            lines = [line for line in text.split("\n") if line]  # U+2028 ends none
            if line in lines:
                return file, len(lines), False
            cut = b"\n" if before and not before.endswith(b"\n") else b""
            stream.write(cut + line.encode("utf-8") + b"\n")
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        raise _fault(error, file) from error
    return file, len(lines) + 1, True


def _well_formed(messages: list[Message]) -> list[Message]:
    """The messages without lone surrogates, which no UTF-8 file can hold."""
    return [
        {key: text.encode("utf-8", errors="replace").decode() for key, text in message.items()}
        for message in messages
    ]


def _fault(error: OSError, where: Path) -> StageError:
    return StageError(
        f"it is not written: {error.strerror or error}",
        where=str(where),
        expected="a disk with room and a folder that can be written",
        do="make room or mend the permissions, then do it again",
    )
