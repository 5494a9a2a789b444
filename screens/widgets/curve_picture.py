"""A chart of series as lines of text: curves in braille, marks on the axis, labels beside it.

What is drawn depends on the size of the picture, not on the number of points: of every column of
dots only the first, last, lowest and highest value count, so no spike is lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from haruon_tui.jobs.series import Series
from haruon_tui.screens.widgets.axis import LABEL_CELLS, Scale, labels, scale, ticks
from haruon_tui.screens.widgets.braille import Braille, character

LEAST_WIDTH, LEAST_HEIGHT = 24, 5

Cell = tuple[str, str]
"""A character and the name of its style."""


@dataclass(frozen=True)
class Curve:
    """A series to draw. With a `marker` every point is one, without it they are joined by a line;
    a `letter` stands at the line's right end. `style` is a name that the widget knows."""

    series: Series
    style: str
    marker: str = ""
    letter: str = ""
    sets_scale: bool = True


@dataclass(frozen=True)
class Mark:
    """A character on the axis at a step. Of several in one cell the last one is seen."""

    step: float
    character: str
    style: str = "mark"


@dataclass(frozen=True)
class Window:
    """The steps from `first` to `last` at the chart's left and right end."""

    first: float
    last: float

    @property
    def width(self) -> float:
        return max(self.last - self.first, 1e-9)

    def share(self, step: float) -> float:
        return (step - self.first) / self.width


@dataclass
class Picture:
    """Rows of cells, top first. `window` and `columns` say which step a column shows."""

    rows: list[list[Cell]] = field(default_factory=list)
    window: Window = field(default_factory=lambda: Window(0, 1))
    left: int = LABEL_CELLS + 1
    columns: int = 0

    def step_at(self, x: int) -> float:
        """The step in the middle of the cell `x` of a row."""
        at = min(max(x - self.left, 0), self.columns - 1)
        return self.window.first + self.window.width * (at + 0.5) / max(1, self.columns)

    def column_of(self, step: float) -> int | None:
        """The cell of a row that shows `step`; None outside of the window."""
        share = self.window.share(step)
        if not 0 <= share <= 1:
            return None
        return self.left + min(self.columns - 1, int(share * self.columns))


def has_room(width: int, height: int) -> bool:
    """Whether a picture of so many cells shows anything."""
    return width >= LEAST_WIDTH and height >= LEAST_HEIGHT


def picture(
    curves: Sequence[Curve],
    marks: Sequence[Mark],
    window: Window,
    width: int,
    height: int,
    *,
    log: bool = False,
    cursor: float | None = None,
) -> Picture | None:
    """Draw within `width` and `height` cells; None where nothing finite is in the window or there
    is no room."""
    if not has_room(width, height):
        return None
    upright = _scale(curves, window, log)
    if upright is None:
        return None
    drawn = Picture(window=window, columns=width - LABEL_CELLS - 1)
    canvas = [[(" ", "")] * drawn.columns for _ in range(height - 2)]
    ends: list[tuple[Curve, tuple[int, int]]] = []
    for curve in curves:
        if curve.marker:
            _markers(canvas, curve, window, upright)
        elif place := _line(canvas, curve, window, upright):
            ends.append((curve, place))
    taken: set[int] = set()
    for curve, place in ends:
        _letter(canvas, curve, place, taken)
    at = drawn.column_of(cursor) if cursor is not None else None
    if at is not None:
        for row in canvas:
            if row[at - drawn.left][0] == " ":
                row[at - drawn.left] = ("│", "cursor")
    drawn.rows = _with_labels(canvas, upright)
    drawn.rows += [_axis(marks, drawn), _step_labels(drawn)]
    return drawn


def _scale(curves: Sequence[Curve], window: Window, log: bool) -> Scale | None:
    lows, highs = [], []
    for curve in curves:
        if not curve.sets_scale:
            continue
        series = curve.series
        found = series.stretch(series.at(window.first), series.at(window.last + 1e-9))
        if found:
            lows.append(found.low)
            highs.append(found.high)
    return scale(min(lows), max(highs), log=log) if lows else None


def _line(
    canvas: list[list[Cell]], curve: Curve, window: Window, upright: Scale
) -> tuple[int, int] | None:
    """Draw a curve; the row and column for its letter, where it has one."""
    braille = Braille(len(canvas[0]), len(canvas))
    series = curve.series
    across = (braille.width - 1) / window.width
    start, end = series.at(window.first), series.at(window.last + 1e-9)
    dot = upright.dots(braille.height)
    before: tuple[int, int] | None = None
    begun = start
    if start and start < len(series) and not series.gap_between(start - 1, start + 1):
        # the line comes in from the left of the window
        x = round((series.steps[start - 1] - window.first) * across)
        y = dot(series.values[start - 1])
        if y is not None and x > -10 * braille.width:
            before = (x, y)
    for x, first, last in _columns(series, start, end, window, across, braille.width):
        found = series.stretch(first, last)
        high = dot(found.high) if found else None
        if found is None or high is None:
            before = None if found else before
            continue
        entry, low, leave = (
            (high, high, high)
            if last - first == 1
            else (dot(found.first), dot(found.low), dot(found.last))
        )
        if before is not None and entry is not None and not series.gap_between(begun, first):
            braille.join(*before, x, entry)
        braille.column(x, 0 if low is None else low, high)
        before, begun = ((x, leave) if leave is not None else None), last
    _lay(canvas, braille, curve.style)
    if not curve.letter or before is None:
        return None
    row = len(canvas) - 1 - min(max(before[1] // 4, 0), len(canvas) - 1)
    return row, min(max(before[0] // 2 + 1, 0), len(canvas[0]) - 1)


def _letter(
    canvas: list[list[Cell]], curve: Curve, place: tuple[int, int], taken: set[int]
) -> None:
    """Write a curve's letter at its end, or in the nearest row that has no letter yet."""
    free = [row for row in range(len(canvas)) if row not in taken]
    if free:
        row = min(free, key=lambda row: abs(row - place[0]))
        taken.add(row)
        canvas[row][place[1]] = (curve.letter, curve.style)


def _columns(
    series: Series, start: int, end: int, window: Window, across: float, width: int
) -> list[tuple[int, int, int]]:
    """The columns that have points: the column, and its first index and the one after its last."""
    if end - start <= 2 * width:
        found: list[tuple[int, int, int]] = []
        for at in range(start, end):
            x = round((series.steps[at] - window.first) * across)
            if found and found[-1][0] == x:
                found[-1] = (x, found[-1][1], at + 1)
            else:
                found.append((x, at, at + 1))
        return found
    ends = [series.at(window.first + (x + 0.5) / across) for x in range(width)]
    starts = [start, *ends[:-1]]
    return [
        (x, first, min(last, end))
        for x, (first, last) in enumerate(zip(starts, ends, strict=True))
        if first < min(last, end)
    ]


def _lay(canvas: list[list[Cell]], braille: Braille, style: str) -> None:
    for row, cells in enumerate(canvas):
        for at, cell in enumerate(braille.row(row)):
            if cell:
                cells[at] = (character(cell), style)


def _markers(canvas: list[list[Cell]], curve: Curve, window: Window, upright: Scale) -> None:
    series = curve.series
    columns, rows = len(canvas[0]), len(canvas)
    start, end = series.at(window.first), series.at(window.last + 1e-9)
    for x, first, last in _columns(
        series, start, end, window, (columns - 1) / window.width, columns
    ):
        found = series.stretch(first, last)
        share = upright.share(found.last) if found else None
        if share is not None and 0 <= share <= 1:
            canvas[rows - 1 - min(rows - 1, int(share * rows))][x] = (curve.marker, curve.style)


def _with_labels(canvas: list[list[Cell]], upright: Scale) -> list[list[Cell]]:
    rows = len(canvas)
    values = upright.ticks(most=max(2, rows // 3))
    at_row: dict[int, str] = {}
    for value, label in zip(values, labels(values), strict=True):
        share = upright.share(value)
        if share is not None and 0 <= share <= 1:
            at_row.setdefault(rows - 1 - min(rows - 1, int(share * rows)), label)
    found = []
    for row, cells in enumerate(canvas):
        label = at_row.get(row, "")
        margin = [*label.rjust(LABEL_CELLS), "┤" if label else "│"]
        found.append([*((character, "axis") for character in margin), *cells])
    return found


def _axis(marks: Sequence[Mark], drawn: Picture) -> list[Cell]:
    row: list[Cell] = [(c, "axis") for c in " " * LABEL_CELLS + "└" + "─" * drawn.columns]
    for mark in marks:
        at = drawn.column_of(mark.step)
        if at is not None:
            row[at] = (mark.character, mark.style)
    return row


def _step_labels(drawn: Picture) -> list[Cell]:
    row = [" "] * (drawn.left + drawn.columns)
    window = drawn.window
    free = 0
    for value in ticks(window.first, window.first + window.width, most=max(2, len(row) // 12)):
        at = drawn.column_of(value)
        label = f"{value:,.0f}"
        if at is None or value != int(value):
            continue
        at = min(max(at - len(label) // 2, 0), len(row) - len(label))
        if at >= free:
            row[at : at + len(label)] = label
            free = at + len(label) + 1
    return [(character, "axis") for character in row]
