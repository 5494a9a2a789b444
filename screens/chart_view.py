"""What the charts of the Train screen show: which steps, at which scale, where the cursor is."""

from __future__ import annotations

from dataclasses import dataclass

from haruon_tui.jobs.series import Series
from haruon_tui.screens.widgets.curve_picture import Window

SMOOTHINGS = (0.9, 0.97, 0.99, 0.0, 0.6)
"""Weights of the past in the moving average; 0 shows none. The first is the one at the start."""

_LEAST_SPAN = 2.0


@dataclass
class ChartView:
    """Shared by all charts of a screen. `span` is how many steps are seen, None for all; `end`
    the last of them, None for the newest, so that the window follows a training."""

    log: bool = False
    smoothing: float = SMOOTHINGS[0]
    span: float | None = None
    end: float | None = None
    cursor: float | None = None

    def window(self, first: float, last: float) -> Window:
        """The window on a curve from `first` to `last`; at least one step wide."""
        if last <= first:
            return Window(first - 1, last + 1)
        if self.span is None or self.span >= last - first:
            return Window(first, last)
        end = last if self.end is None else min(max(self.end, first + self.span), last)
        return Window(end - self.span, end)

    def zoom(self, factor: float, first: float, last: float) -> None:
        """See `factor` times as many steps, around the cursor, or up to the newest without one."""
        now = self.window(first, last)
        span = max(_LEAST_SPAN, now.width * factor)
        if span >= last - first:
            self.whole()
            return
        self.span = span
        if self.cursor is not None:
            self._end(self.cursor + span / 2, last)

    def whole(self) -> None:
        """See every step."""
        self.span = self.end = None

    def point(self, step: float, first: float, last: float) -> None:
        """Put the cursor on a step, and the window where the cursor is."""
        self.cursor = min(max(step, first), last)
        seen = self.window(first, last)
        if self.cursor < seen.first:
            self._end(self.cursor + seen.width, last)
        elif self.cursor > seen.last:
            self._end(self.cursor, last)

    def smooth_next(self) -> None:
        """Another smoothing."""
        at = SMOOTHINGS.index(self.smoothing)
        self.smoothing = SMOOTHINGS[(at + 1) % len(SMOOTHINGS)]

    def _end(self, end: float, last: float) -> None:
        self.end = None if end >= last else end


def moved(series: Series, cursor: float | None, steps: float) -> float:
    """The step of the point of a series that is nearest to `steps` beyond the cursor, but another
    than that of the cursor where there is one; the newest point without a cursor."""
    last = len(series) - 1
    if cursor is None:
        return series.steps[last]
    at = min(series.at(cursor), last)
    near = min(series.at(cursor + steps), last)
    if near and cursor + steps - series.steps[near - 1] < series.steps[near] - cursor - steps:
        near -= 1
    if near == at:
        near += 1 if steps > 0 else -1
    return series.steps[min(max(near, 0), last)]
