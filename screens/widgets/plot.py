"""textual-plot's widget, made fit for NO_COLOR. It imports numpy: import this in a thread."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.containers import Grid
from textual.reactive import reactive
from textual.strip import Strip
from textual_hires_canvas import Canvas
from textual_plot import HiResMode, PlotWidget
from textual_plot.axis_formatter import NumericAxisFormatter
from textual_plot.plot_widget import Legend

__all__ = ["HiResMode", "Labels", "Plot"]

_MARGIN_CELLS = 7
_LABEL_CELLS = _MARGIN_CELLS - 1


class Plot(PlotWidget):  # type: ignore[misc]
    """Only to look at: it takes neither the focus nor the keys of the screen."""

    can_focus = False

    margin_top, margin_bottom, margin_left = reactive(0), reactive(1), reactive(_MARGIN_CELLS)

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id, allow_pan_and_zoom=False)
        self.set_y_formatter(Labels())

    def compose(self) -> ComposeResult:
        with Grid():
            for name in ("margin-top", "margin-left", "plot", "margin-bottom"):
                yield _Canvas(1, 1, id=name)
        yield Legend(id="legend")


class Labels(NumericAxisFormatter):  # type: ignore[misc]
    """A label that is too long for the margin would be cut, and read as another number."""

    def get_labels_for_ticks(self, ticks: Sequence[float]) -> list[str]:
        labels: list[str] = super().get_labels_for_ticks(ticks)
        if max(map(len, labels), default=0) <= _LABEL_CELLS:
            return labels
        return [f"{tick:.0e}" for tick in ticks]


class _Canvas(Canvas):
    """A line outside the canvas comes without a style, and Textual's monochrome filter fails on
    that; between a resize and the next drawing there are such lines."""

    def render_line(self, y: int) -> Strip:
        strip = super().render_line(y)
        if all(segment.style is not None for segment in strip):
            return strip
        return Strip.blank(self.size.width, self.rich_style)
