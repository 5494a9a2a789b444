"""The rows of a comparison, finished or under way, and what is counted in them."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

Row = dict[str, Any]

COMPARISON_FILE = "comparison.json"
ROW_SUFFIX = ".row.json"
BUSY_PERCENT = 20.0
"""Of the CPU used by others: speeds measured beside more than that are low."""

_DAMAGED = (OSError, ValueError, KeyError, TypeError, AttributeError)


def read_rows(run: Path) -> list[Row]:
    """The rows in a run's folder: of its document, else those that it has kept so far, in the
    order in which they were measured. A file or row that is missing or damaged is left out."""
    with contextlib.suppress(*_DAMAGED):
        document = json.loads((run / "artifacts" / COMPARISON_FILE).read_text("utf-8"))
        return list(filter(_sound, document["rows"]))
    kept = []
    for path in (run / "scratch").glob(f"*{ROW_SUFFIX}"):
        with contextlib.suppress(*_DAMAGED):
            row = json.loads(path.read_text("utf-8"))["row"]
            if _sound(row):
                kept.append((path.stat().st_mtime_ns, path.name, row))
    return [row for *_, row in sorted(kept, key=lambda entry: entry[:2])]


def reports_right(row: Row) -> dict[str, int] | None:
    """Of the row's reports: how many were ended by the model with every section there
    (`complete`), have every trait level right (`levels`), say nothing forbidden (`safe`), and how
    many there are (`of`). None where there is none."""
    reports = row.get("reports")
    if not reports:
        return None
    scores = [(made.get("score", {}), made.get("stopped")) for made in reports]
    return {
        "complete": sum(bool(score.get("complete") and stopped) for score, stopped in scores),
        "levels": sum(_levels_right(score) for score, _ in scores),
        "safe": sum(bool(score.get("safe")) for score, _ in scores),
        "of": len(reports),
    }


def load_note(rows: list[Row]) -> str:
    """How busy others kept the machine before each file was measured; a warning where it was not
    idle, empty where nothing is known."""
    known = [row["busy_percent"] for row in rows if "busy_percent" in row]
    if not known:
        return ""
    busy = [str(row.get("type")) for row in rows if row.get("busy_percent", 0) > BUSY_PERCENT]
    if not busy:
        return f"Other programs used at most {max(known):.0f} % of the CPU: speeds hold."
    return (
        f"! The machine was not idle: others used up to {max(known):.0f} % of the CPU. Speeds of "
        f"{', '.join(busy)} are too low; measure again when it is quiet."
    )


class _Speed(BaseModel):
    mean: float
    sd: float


class _Report(BaseModel):
    case: str = ""
    text: str = ""
    stopped: bool = False
    score: dict[str, Any] = Field(default_factory=dict)


class _Sound(BaseModel):
    """What must be so of a row that is shown."""

    type: str
    file: str
    bytes: int = 0
    bits_per_weight: float = 0
    peak_rss_bytes: int = 0
    load_seconds: float = 0
    load_cold_seconds: float = 0
    busy_percent: float = 0
    prompt: _Speed = _Speed(mean=0, sd=0)
    generate: _Speed = _Speed(mean=0, sd=0)
    buffers: dict[str, int] = Field(default_factory=dict)
    quality: dict[str, Any] = Field(default_factory=dict)
    reports: list[_Report] = Field(default_factory=list)
    error: str = ""
    no_quality: str = ""


def _sound(row: Any) -> bool:
    try:
        _Sound.model_validate(row)
    except ValueError:
        return False
    if row.get("buffers") and "model" not in row["buffers"]:
        return False
    values = [value for value in row.get("quality", {}).values() if isinstance(value, list)]
    return all(len(value) == 2 and all(map(_is_number, value)) for value in values)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)


def _levels_right(score: dict[str, Any]) -> bool:
    traits = score.get("traits") or {}
    return bool(traits) and all(one["found"] == one["expected"] for one in traits.values())
