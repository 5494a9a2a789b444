"""A log read for the screens: quickly, because it may hold hundreds of thousands of points.

Metric lines that are alike, as a training writes them, are read by one pattern straight into
columns, which takes a third of the time of reading each as JSON. Whatever is not exactly alike is
read as JSON.
"""

from __future__ import annotations

import re
from array import array
from functools import lru_cache
from operator import lt
from pathlib import Path

from haruon_tui.jobs.curve import Block, gathered
from haruon_tui.jobs.events import Event, EventReader, parse

_READ_BYTES = 16 << 20
_PIECE_BYTES = 1 << 18  # a pattern lets no other thread go on while it searches a piece
_METRIC = b'"kind": "metric"'
_PROGRESS = b'"kind": "progress"'
_FIRST = re.compile(rb'"kind": "metric", "step": \d+, "values": \{([^{}]*)\}\}$')
_NAME = re.compile(rb'"([A-Za-z0-9_/.-]+)": [^,]+')


class NewsReader:
    """Reads a log from where the last call left off."""

    def __init__(self, path: Path) -> None:
        self._reader = EventReader(path)

    def read(self) -> list[Event]:
        """The events since the last call, some megabytes of them at most: metrics gathered (see
        `curve.gathered`), and of the progress events the last one alone."""
        whole = self._reader.read_lines(_READ_BYTES)
        found: list[Event] = []
        progress: Event | None = None
        start = 0
        while start < len(whole):
            end = whole.rfind(b"\n", start, start + _PIECE_BYTES) + 1 or len(whole)
            for event in news(whole[start:end]):
                if event["kind"] == "progress":
                    progress = event
                else:
                    found.append(event)
            start = end
        if progress is not None:
            found.append(progress)
            found.sort(key=lambda event: int(event["seq"]))
        return found


def news(piece: bytes) -> list[Event]:
    """The events of whole lines, as NewsReader.read gives them."""
    metrics, others = piece.count(_METRIC), []
    if metrics + piece.count(_PROGRESS) < piece.count(b"\n"):
        lines = piece.splitlines()
        others = [line for line in lines if _METRIC not in line and _PROGRESS not in line]
    if (at := piece.rfind(_PROGRESS)) >= 0:
        others.append(piece[piece.rfind(b"\n", 0, at) + 1 : piece.find(b"\n", at)])
    if block := _alike(piece, metrics):
        event, rest = block
        unlike = list(parse(rest))
        if all(one.get("attempt") == event["attempt"] for one in unlike):
            found = [event, *gathered(unlike), *parse(others)]
            return sorted(found, key=lambda one: int(one["seq"]))
    points = [line for line in piece.splitlines() if _METRIC in line]
    return sorted(gathered(list(parse([*points, *others]))), key=lambda one: int(one["seq"]))


def _alike(piece: bytes, metrics: int) -> tuple[Event, list[bytes]] | None:
    """The metric lines with the same names as the first one as a gathered event, and the other
    metric lines; None where there is any doubt. `metrics` is how many there are."""
    if metrics < 2:
        return None
    at = piece.find(_METRIC)
    first = _FIRST.match(piece[at : piece.find(b"\n", at)])
    names = _NAME.findall(first[1]) if first else []
    if not names or first is None or first[1].count(b":") != len(names):
        return None
    pattern, start = _pattern(tuple(names))
    rows = pattern.findall(piece)
    rest: list[bytes] = []
    if len(rows) < metrics:
        rest = [line for line in piece.splitlines() if _METRIC in line and start not in line]
    if len(rows) + len(rest) != metrics or not rows:
        return None
    seqs, attempts, steps, *columns = zip(*rows, strict=True)
    numbers = array("q", map(int, steps))
    if len(set(attempts)) > 1 or not all(map(lt, numbers, numbers[1:])):
        return None
    try:
        values = {
            name.decode("ascii"): _floats(column)
            for name, column in zip(names, columns, strict=True)
        }
    except ValueError:
        return None
    attempt = int(attempts[0])
    block = Block(attempt, numbers, values)
    return {"kind": "metrics", "seq": int(seqs[0]), "attempt": attempt, "block": block}, rest


@lru_cache(maxsize=16)
def _pattern(names: tuple[bytes, ...]) -> tuple[re.Pattern[bytes], bytes]:
    """What a whole line with these metrics looks like, and the words that none other has."""
    values = b", ".join(rb'"%b": ([^,{}]+)' % re.escape(name) for name in names)
    line = (
        rb'\{"v": 1, "seq": (\d+), "t": [0-9.]+, "attempt": (\d+), "kind": "metric", '
        rb'"step": (\d+), "values": \{' + values + rb"\}\}\n"
    )
    return re.compile(line), b'"values": {"%b": ' % names[0]


def _floats(column: tuple[bytes, ...]) -> array[float]:
    """NaN and infinities are strings in the log."""
    try:
        return array("d", map(float, column))
    except ValueError:
        return array("d", (float(value.strip(b'"')) for value in column))
