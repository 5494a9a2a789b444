"""Training and evaluation loss over steps."""

from __future__ import annotations

import math
import threading
import time
from typing import TYPE_CHECKING, Any

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.message import Message
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Static

if TYPE_CHECKING:
    from collections.abc import Sequence

    from haruon_tui.jobs.curve import Curves

Point = tuple[int, float]

_SECONDS_BETWEEN_FRAMES = 1 / 3
_POINTS_PER_CELL = 2
_LEAST_WIDTH, _LEAST_HEIGHT = 24, 6
_EVAL_MARKER = "◆"
_TRAIN_MARKER = "⠒⠒"


class LossChart(Widget):
    """A line for the training loss, diamonds for the evaluation loss: no colour is needed to tell
    them apart. Drawn at most three times a second.

    The plotting library brings numpy, so a thread of its own imports it.
    """

    class Loaded(Message):
        """The plotting library is there."""

    def __init__(self, empty: str, *, id: str | None = None) -> None:
        """`empty` is shown while there is no point."""
        super().__init__(id=id)
        self._empty = empty
        self._curves: Curves | None = None
        self._plot: Any = None
        self._drawn = 0.0
        self._timer: Timer | None = None

    def compose(self) -> ComposeResult:
        yield Static(self._empty, id="key", markup=False)

    def on_mount(self) -> None:
        threading.Thread(target=self._load, name="plot", daemon=True).start()
        self.app.theme_changed_signal.subscribe(self, lambda _: self._draw_soon())

    def on_resize(self) -> None:
        self._draw_soon()

    def show(self, curves: Curves | None) -> None:
        """Show these curves as they are now; None shows none."""
        self._curves = curves
        self._draw_soon()

    def _load(self) -> None:
        import haruon_tui.screens.widgets.plot  # noqa: F401 - so that those below are at once

        self.post_message(self.Loaded())

    @on(Loaded)
    async def _loaded(self) -> None:
        if not self.is_attached:
            return  # the program is quitting
        from haruon_tui.screens.widgets.plot import Plot

        plot = Plot(id="curve")
        plot.display = False
        await self.mount(plot)
        self._plot = plot
        self._draw()

    def _draw_soon(self) -> None:
        if self._timer is None:
            wait = self._drawn + _SECONDS_BETWEEN_FRAMES - time.monotonic()
            self._timer = self.set_timer(max(wait, 0.01), self._draw)

    def _draw(self) -> None:
        if self._timer is not None:
            self._timer.stop()
        self._timer, self._drawn = None, time.monotonic()
        loss = self._series("loss")
        evaluations = self._series("eval_loss")
        self.query_one("#key", Static).update(self._key(loss, evaluations))
        if self._plot is not None:
            self._draw_curves(loss, evaluations)

    def _series(self, name: str) -> list[Point]:
        return list(zip(*self._curves.series(name), strict=True)) if self._curves else []

    def _key(self, loss: list[Point], evaluations: list[Point]) -> Text:
        if not loss and not evaluations:
            return Text(self._empty)
        text = Text(f"{_TRAIN_MARKER} loss", no_wrap=True, overflow="ellipsis")
        if evaluations:
            text.append(f"   {_EVAL_MARKER} evaluation loss")
        last = max(series[-1][0] for series in (loss, evaluations) if series)
        text.append(f"   over {last} steps")
        if gaps := sum(not math.isfinite(value) for _, value in [*loss, *evaluations]):
            text.append(f"   {gaps} not finite: gaps", style="bold")
        return text

    def _draw_curves(self, loss: list[Point], evaluations: list[Point]) -> None:
        plot = self._plot
        finite = [point for point in (*loss, *evaluations) if math.isfinite(point[1])]
        room = self.size.width >= _LEAST_WIDTH and self.size.height >= _LEAST_HEIGHT
        plot.display = bool(finite) and room
        if not plot.display:
            return
        from haruon_tui.screens.widgets.plot import HiResMode

        colours = self.app.theme_variables
        plot.clear()
        # What lies on the end of an axis is hidden by the frame: leave a cell.
        first, last = _limits([step for step, _ in finite], least=1.0)
        plot.set_xlimits(first, last + (last - first) / self.size.width)
        low, high = _limits([value for _, value in finite], least=0.01)
        cell = (high - low) / self.size.height
        plot.set_ylimits(low - cell, high + cell)
        plot.set_yticks(ticks(low, high, most=self.size.height // 3))
        for part in thinned(segments(loss), self.size.width * _POINTS_PER_CELL):
            steps, values = zip(*part, strict=True)
            if len(part) == 1:
                plot.scatter(steps, values, "·", colours["primary"])
            else:
                plot.plot(steps, values, colours["primary"], HiResMode.BRAILLE)
        for part in thinned(segments(evaluations), self.size.width):
            steps, values = zip(*part, strict=True)
            plot.scatter(steps, values, _EVAL_MARKER, colours["accent"])


def segments(points: Sequence[Point]) -> list[list[Point]]:
    """The points in runs of finite values: NaN and infinities are gaps between them."""
    found: list[list[Point]] = [[]]
    for step, value in points:
        if math.isfinite(value):
            found[-1].append((step, value))
        elif found[-1]:
            found.append([])
    return [part for part in found if part]


def thinned(parts: list[list[Point]], most: int) -> list[list[Point]]:
    """The same curves with about `most` points: of each stretch the lowest and the highest value
    stay, so no spike is lost."""
    count = sum(map(len, parts))
    if count <= most:
        return parts
    stretch = max(3, math.ceil(2 * count / max(most, 2)))
    return [_thin(part, stretch) for part in parts]


def _thin(points: list[Point], stretch: int) -> list[Point]:
    kept: list[Point] = []
    for start in range(0, len(points), stretch):
        group = points[start : start + stretch]
        ends = {min(group, key=lambda point: point[1]), max(group, key=lambda point: point[1])}
        kept += sorted(ends)
    return kept


def ticks(low: float, high: float, *, most: int) -> list[float]:
    """Round values from `low` to `high`, 1, 2 or 5 times a power of ten apart: at most `most` of
    them, but two where there is a choice. textual-plot's own share rows in a low window."""
    power = math.floor(math.log10(high - low)) + 1
    found: list[float] = []
    for step in (m * 10.0**p for p in range(power, power - 4, -1) for m in (5, 2, 1)):
        finer = [n * step for n in range(math.ceil(low / step), math.floor(high / step) + 1)]
        if len(finer) > most and len(found) >= 2:
            break
        found = finer
        if len(found) > most:
            break
    return found


def _limits(values: Sequence[float], *, least: float) -> tuple[float, float]:
    """The axis' ends: never the same, and far enough apart to be told apart as floats."""
    low, high = float(min(values)), float(max(values))
    missing = max(least, abs(high) * 1e-6) - (high - low)
    return (low - missing / 2, high + missing / 2) if missing > 0 else (low, high)
