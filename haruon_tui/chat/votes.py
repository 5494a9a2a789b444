"""Votes on answers side by side: one JSON line each in chat/votes.jsonl, only ever added.

A line holds the question, every answer with its model, the choice and the reason. A later line
of the same round replaces the one before: that is how a reason joins its vote.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from haruon_tui.chat.models import Model
from haruon_tui.chat.remote import Endpoint
from haruon_tui.chat.side_by_side import Column, SideBySide
from haruon_tui.errors import StageError

FILE = Path("chat", "votes.jsonl")
"""Below the workspace's folder. Its name and place say nothing of the models."""

FORMAT = 1
NEITHER = ""


@dataclass(frozen=True)
class Vote:
    """`choice` is a label or NEITHER; `blind` tells whether the names were hidden till then."""

    choice: str
    reason: str
    blind: bool


def record(compared: SideBySide, vote: Vote) -> dict[str, Any]:
    """The line of a vote on the answers that are there now."""
    chosen = [column for column in compared.columns if column.label == vote.choice]
    return {
        "format": FORMAT,
        "round": compared.round,
        "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "blind": vote.blind,
        "mode": compared.mode,
        "context": compared.context,
        "sampling": compared.sampling,
        "messages": compared.messages,
        "answers": [_answer(column) for column in compared.columns],
        "choice": vote.choice,
        "model": _model(chosen[0].model) if chosen else None,
        "reason": vote.reason,
    }


def add(folder: Path, line: dict[str, Any]) -> Path:
    """Keep a vote's `record`, synced to the disk; return the file.

    Raises StageError when it cannot be written. Touches the disk.
    """
    path = folder / FILE
    encoded = json.dumps(line, ensure_ascii=True).encode("ascii") + b"\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab+") as file:
            if file.tell() and not _ends_with_newline(file):
                encoded = b"\n" + encoded  # a line that a crash cut off stays one line
            file.write(encoded)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise StageError(
            f"the vote is not kept: {error.strerror}", where=str(path), do="free space, vote again"
        ) from error
    return path


def read(folder: Path) -> list[dict[str, Any]]:
    """The last line of every round, the oldest round first; what is no vote is passed over."""
    try:
        lines = (folder / FILE).read_bytes().splitlines()
    except OSError:
        return []
    found: dict[str, dict[str, Any]] = {}
    for line in lines:
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict) and value.get("format") == FORMAT and value.get("answers"):
            found[str(value.get("round"))] = value
    return list(found.values())


@dataclass(frozen=True)
class Score:
    """How often a model was chosen among those that it stood beside."""

    name: str
    chosen: int
    compared: int


def scores(votes: list[dict[str, Any]]) -> list[Score]:
    """Of every model that votes are on, the one chosen in the largest share first."""
    chosen: Counter[str] = Counter()
    compared: Counter[str] = Counter()
    for vote in votes:
        for answer in vote["answers"]:
            name = name_of(answer["model"])
            compared[name] += 1
            chosen[name] += answer["label"] == vote["choice"]
    found = [Score(name, chosen[name], count) for name, count in compared.items()]
    return sorted(found, key=lambda score: (-score.chosen / score.compared, score.name))


def _answer(column: Column) -> dict[str, Any]:
    done = column.done
    return {
        "label": column.label,
        "model": _model(column.model),
        "text": column.text,
        "ended": done.reason if done else column.words,
        "generated_tokens": done.generated_tokens if done else None,
        "time_to_first_token": done.time_to_first_token if done else None,
        "tokens_per_second": done.tokens_per_second if done else None,
    }


def _model(model: Model) -> dict[str, str]:
    if isinstance(model, Endpoint):
        return {"url": model.url, "name": model.model}
    return {"path": str(model)}


def name_of(model: dict[str, str]) -> str:
    """The file with the run or folder it lies in, or the endpoint's model and address."""
    if "url" in model:
        return f"{model['name'] or 'the model'} at {model['url']}"
    path = Path(model["path"])
    folder = path.parent.parent if path.parent.name == "artifacts" else path.parent
    return f"{path.name} ({folder.name})"


def _ends_with_newline(file: Any) -> bool:
    file.seek(-1, os.SEEK_END)
    return bool(file.read(1) == b"\n")
