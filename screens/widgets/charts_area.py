"""Where the charts of a training stand."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.events import Resize

from haruon_tui.screens.chart_view import ChartView
from haruon_tui.screens.widgets.chart import Chart, Metric
from haruon_tui.screens.widgets.curve_picture import LEAST_WIDTH

_OTHERS_HEIGHT = 12  # as styles/training.tcss has it
_MAIN_HEIGHT = 14
"""What the first chart keeps at least."""


class ChartsArea(Vertical):
    """The first metric, and the others side by side below it where all of them have room."""

    def __init__(self, metrics: Sequence[Metric], view: ChartView, *, empty: str, id: str) -> None:
        super().__init__(id=id)
        self._metrics, self._view, self._empty = metrics, view, empty

    def compose(self) -> ComposeResult:
        first, *others = self._metrics
        yield Chart(first, self._view, empty=self._empty, id="chart")
        with Horizontal(id="others"):
            for metric in others:
                yield Chart(metric, self._view, classes="other")

    def on_resize(self, event: Resize) -> None:
        needed = (len(self._metrics) - 1) * (LEAST_WIDTH + 1)  # and a cell between them
        high = event.size.height >= _MAIN_HEIGHT + _OTHERS_HEIGHT
        self.set_class(event.size.width >= needed and high, "-every")
