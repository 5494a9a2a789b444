"""Holds a card against the files that it was made from."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

NUMBER = re.compile(r"(?<![\w.,\\])\d[\d.,]*(?:e[+-]?\d+)?")
"""A number that stands for itself: not in a name such as Q4, F16 or sha256."""


def require_true(text: str, values: Iterable[dict[str, Any]], runs: Path) -> None:
    """Every value of the card stands in its file, and the card has no number beside them."""
    known: set[str] = set()
    count = 0
    for value in values:
        run, _, name = value["file"].partition("/")
        assert looked_up(runs / run, name, value["path"]) == value["value"], value
        assert value["text"] in text, value
        known |= numbers(value["text"])
        count += 1
    assert count
    assert numbers(text) - known == set()


def looked_up(run: Path, name: str, path: Iterable[str | int]) -> Any:
    """What stands at a path of a run's file, read without the program's own reader."""
    if name == "events.jsonl":
        found: Any = _log(run / name)
    else:
        found = json.loads((run / name).read_text("utf-8"))
    for key in path:
        found = found[key]
    return found


def numbers(text: str) -> set[str]:
    return {found.rstrip(".,") for found in NUMBER.findall(text)}


def _log(path: Path) -> dict[str, Any]:
    metrics: dict[str, list[list[float]]] = {}
    result = None
    for event in map(json.loads, path.read_text("utf-8").splitlines()):
        if event["kind"] == "metric":
            for key, value in event["values"].items():
                metrics.setdefault(key, []).append([event["step"], float(value)])
        elif event["kind"] == "finished":
            result = event["result"]
    return {"result": result, "metrics": metrics}
