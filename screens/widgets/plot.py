"""textual-plot's widget, made fit for NO_COLOR. It imports numpy: import this in a thread."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Grid
from textual.strip import Strip
from textual_hires_canvas import Canvas
from textual_plot import HiResMode, PlotWidget
from textual_plot.plot_widget import Legend

__all__ = ["HiResMode", "Plot"]


class Plot(PlotWidget):  # type: ignore[misc]
    """Only to look at: it takes neither the focus nor the keys of the screen."""

    can_focus = False

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id, allow_pan_and_zoom=False)

    def compose(self) -> ComposeResult:
        with Grid():
            for name in ("margin-top", "margin-left", "plot", "margin-bottom"):
                yield _Canvas(1, 1, id=name)
        yield Legend(id="legend")


class _Canvas(Canvas):
    """A line outside the canvas comes without a style, and Textual's monochrome filter fails on
    that; between a resize and the next drawing there are such lines."""

    def render_line(self, y: int) -> Strip:
        strip = super().render_line(y)
        if all(segment.style is not None for segment in strip):
            return strip
        return Strip.blank(self.size.width, self.rich_style)
