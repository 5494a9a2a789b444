"""The points of a run's metrics, in the order of its log.

A training that goes on from a checkpoint writes steps that it has written before: a step that
comes again supersedes what stood at it and after it.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from haruon_tui.jobs.events import Event, number
from haruon_tui.jobs.series import Series


@dataclass(frozen=True)
class Block:
    """Points with the same metrics at ascending steps, of one attempt."""

    attempt: int
    steps: Sequence[int]
    values: dict[str, array[float]]


def gathered(events: list[Event]) -> list[Event]:
    """The same events with the metrics among them in few events of the kind "metrics", each with
    a Block: a hundred thousand points are then taken in at once. The order of `seq` stays."""
    points = [event for event in events if event["kind"] == "metric"]
    if len(points) < 2:
        return events
    others = [event for event in events if event["kind"] != "metric"]
    return sorted([*others, *_blocks(points)], key=lambda event: int(event["seq"]))


def _blocks(points: list[Event]) -> Iterator[Event]:
    for (attempt, names), rows in groupby(filter(_sound, points), key=_likeness):
        for part in _ascending(list(rows)):
            columns = zip(*(event["values"].values() for event in part), strict=True)
            block = Block(
                attempt,
                [event["step"] for event in part],
                dict(zip(names, map(_numbers, columns), strict=True)),
            )
            yield {"kind": "metrics", "seq": part[0]["seq"], "attempt": attempt, "block": block}


def _likeness(event: Event) -> tuple[int, tuple[str, ...]]:
    return event["attempt"], tuple(event["values"])


def _ascending(rows: list[Event]) -> Iterator[list[Event]]:
    start = 0
    for at in range(1, len(rows)):
        if rows[at]["step"] <= rows[at - 1]["step"]:
            yield rows[start:at]
            start = at
    yield rows[start:]


def _numbers(column: tuple[Any, ...]) -> array[float]:
    try:
        return array("d", column)
    except TypeError:
        return array("d", map(_number, column))


def _number(value: Any) -> float:
    """What is no number is not a number."""
    try:
        return number(value)
    except (TypeError, ValueError):
        return math.nan


def _sound(event: Event) -> bool:
    return isinstance(event.get("step"), int) and isinstance(event.get("values"), dict)


class Curves:
    """Metric series by name, fed with events in the order of the log."""

    def __init__(self) -> None:
        self._series: dict[str, Series] = {}
        self._attempt: int | None = None
        self.points = 0
        """How many metric events there were."""
        self.restarts: list[int] = []
        """The last step that was kept when a training went on from a checkpoint."""
        self.changes = 0
        """Counts the times that something was superseded."""

    def feed(self, events: Iterable[Event]) -> bool:
        """Take in the metric events among `events`; True when there were any."""
        changed = False
        for event in events:
            if event["kind"] == "metrics":
                changed = True
                self._take(event["block"])
            elif event["kind"] == "metric" and _sound(event):
                changed = True
                values = {name: array("d", [_number(v)]) for name, v in event["values"].items()}
                self._take(Block(event["attempt"], [event["step"]], values))
        return changed

    def _take(self, block: Block) -> None:
        first = block.steps[0]
        self.points += len(block.steps)
        held = [self._series[name] for name in block.values if name in self._series]
        again = any(series.steps[-1] > first for series in held if series)
        if again or (self._attempt is not None and block.attempt != self._attempt):
            self._go_back(block)
        self._attempt = block.attempt
        for name, values in block.values.items():
            series = self._series.setdefault(name, Series())
            if series and series.steps[-1] == first:
                series.cut(len(series) - 1)
                self.changes += 1
            series.extend(block.steps, values)

    def _go_back(self, block: Block) -> None:
        first = block.steps[0]
        for name, series in self._series.items():
            series.cut(series.at(first if name in block.values else first + 1))
        self.changes += 1
        kept = max((series.steps[-1] for series in self._series.values() if series), default=0)
        self.restarts = [step for step in self.restarts if step < kept] + [kept]

    @property
    def names(self) -> list[str]:
        return list(self._series)

    def get(self, name: str) -> Series:
        """The series of this name; an empty one when there is none."""
        return self._series.get(name) or Series()

    def series(self, name: str) -> tuple[list[int], list[float]]:
        """The steps in ascending order and the value at each. NaN and infinities are included."""
        series = self.get(name)
        return list(series.steps), list(series.values)

    def last(self, name: str) -> float | None:
        """The value at the highest step."""
        series = self.get(name)
        return series.values[-1] if series else None


def best(series: Series) -> tuple[int, float] | None:
    """Step and value of the lowest finite value."""
    finite = [(v, s) for s, v in zip(series.steps, series.values, strict=True) if math.isfinite(v)]
    if not finite:
        return None
    value, step = min(finite)
    return step, value
