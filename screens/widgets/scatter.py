"""Size against loss of quality: a point for each file, and a line through the best ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from rich.cells import cell_len
from rich.text import Text
from textual.app import RenderResult
from textual.widget import Widget

from haruon_tui.screens.plain_text import one_line
from haruon_tui.screens.widgets.axis import LABEL_CELLS, labels, scale, ticks
from haruon_tui.screens.widgets.braille import Braille, character

LEAST_WIDTH, LEAST_HEIGHT = 30, 6
_NO_LOSS = 1e-6
"""Nats; below that a file predicts as the baseline does, and has no place on a log scale."""
_RISE = 3


@dataclass(frozen=True)
class Point:
    """A file: bytes, nats, its type, whether no other is smaller and closer, and whether it is
    the one under the cursor."""

    size: float
    loss: float
    name: str
    best: bool = False
    chosen: bool = False


class Scatter(Widget):
    """The first line says what is drawn."""

    points: Sequence[Point] = ()

    def show(self, points: Sequence[Point]) -> None:
        """Show these points."""
        self.points = points
        self.refresh()

    def render(self) -> RenderResult:
        return scatter(self.points, self.size.width, self.size.height)


def scatter(points: Sequence[Point], width: int, height: int) -> Text:
    """The picture in so many cells. ● is on the Pareto front, ○ is not, ◆ is the chosen one; loss
    on a logarithmic scale, none at all on the bottom."""
    if not points:
        return Text("No quality figures yet: compare measures them.")
    if width < LEAST_WIDTH or height < LEAST_HEIGHT:
        return Text("There is no room for the picture: make the window larger.")
    columns, rows = width - LABEL_CELLS - 1, height - 3
    losses = [point.loss for point in points if point.loss > _NO_LOSS] or [0.01]
    upright = scale(min(losses) * 0.8, max(losses) * 1.25, log=True)
    unit, unit_bytes = ("GB", 1e9) if max(point.size for point in points) >= 1e9 else ("MB", 1e6)
    title = f"KL divergence (nats) by size ({unit}): ● Pareto front, ○ beaten, ◆ at the cursor"
    sizes = [point.size / unit_bytes for point in points]
    across = scale(min(sizes), max(sizes))
    canvas = Braille(columns, rows)
    place = upright.dots(canvas.height - 4)

    def dot(point: Point) -> tuple[int, int]:
        share = across.share(point.size / unit_bytes) or 0.0
        high = place(point.loss) if point.loss > _NO_LOSS else None
        return round(share * (canvas.width - 1)), 0 if high is None else high + _RISE

    front = [dot(point) for point in sorted(points, key=lambda one: one.size) if point.best]
    for (x0, y0), (x1, y1) in pairwise(front):
        canvas.line(x0, y0, x1, y0)
        canvas.line(x1, y0, x1, y1)
    drawn = [[character(cell) if cell else " " for cell in canvas.row(row)] for row in range(rows)]
    placed = [(point, dot(point)) for point in points]
    for point, (x, y) in placed:
        drawn[rows - 1 - y // 4][x // 2] = "◆" if point.chosen else "●" if point.best else "○"
    for point, (x, y) in placed:
        _write(drawn, rows - 1 - y // 4, x // 2, one_line(point.name))
    marks = upright.ticks(max(2, rows // 3))
    written = {
        rows - 1 - ((place(value) or 0) + _RISE) // 4: name
        for value, name in zip(marks, labels(marks), strict=True)
    }
    if any(point.loss <= _NO_LOSS for point in points):
        written[rows - 1] = "0"
    lines = [title[:width]]
    for row, line in enumerate(drawn):
        lines.append(f"{written.get(row, ''):>{LABEL_CELLS}}┤{''.join(line)}")
    lines += ["─" * (LABEL_CELLS + columns + 1), _below(across.low, across.high, columns)]
    return Text("\n".join(lines), no_wrap=True)


def _write(drawn: list[list[str]], row: int, at: int, name: str) -> None:
    """The name beside its point, or above or below that, where no other name or point stands."""
    wide = cell_len(name)
    for line in (drawn[near] for near in (row, row - 1, row + 1) if 0 <= near < len(drawn)):
        for start in (at + 1, at - wide):
            cells = line[max(0, start) : start + wide]
            if start < 0 or len(cells) < wide:
                continue
            if not any(cell.isalnum() or cell in "●○◆_" for cell in cells):
                line[start : start + wide] = list(name)
                return


def _below(low: float, high: float, columns: int) -> str:
    marks = ticks(low, high, most=max(2, columns // 10))
    line = [" "] * (LABEL_CELLS + 1 + columns)
    for value, name in zip(marks, labels(marks), strict=True):
        at = LABEL_CELLS + 1 + round((value - low) / (high - low) * (columns - 1))
        start = min(max(0, at - len(name) // 2), len(line) - len(name))
        line[start : start + len(name)] = list(name)
    return "".join(line).rstrip()
