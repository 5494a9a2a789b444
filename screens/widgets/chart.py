"""A chart of one metric of a training, beside those of earlier runs."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.message import Message
from textual.strip import Strip
from textual.timer import Timer
from textual.widget import Widget

from haruon_tui.jobs.series import Series
from haruon_tui.jobs.smoothing import Smoothed
from haruon_tui.screens.chart_view import ChartView
from haruon_tui.screens.widgets.curve_picture import (
    Cell,
    Curve,
    Mark,
    Picture,
    Window,
    has_room,
    picture,
)

if TYPE_CHECKING:
    from haruon_tui.jobs.curve import Curves

_SECONDS_BETWEEN_FRAMES = 1 / 3
_SECONDS_WHILE_BEHIND = 0.03
EVAL_MARKER, LINE_MARKER = "◆", "⠒⠒"
OVERLAY_STYLES = ("secondary", "accent", "warning", "success")


@dataclass(frozen=True)
class Metric:
    """A metric's name in the log, its title, how a value is written, and the metric that is
    drawn with it as points."""

    name: str
    title: str
    form: str
    points: str = ""
    smoothed: bool = True
    points_title: str = ""


@dataclass(frozen=True)
class Overlay:
    """Another run's curves, with the letter that stands at their end."""

    letter: str
    name: str
    curves: Curves


class Chart(Widget):
    """The first line says what is drawn, or the values under the cursor. Drawn at most three
    times a second, however often there is news."""

    class Pointed(Message):
        """The chart was clicked at a step."""

        def __init__(self, step: float) -> None:
            super().__init__()
            self.step = step

    class Wheeled(Message):
        """The wheel was turned over the chart: see so many times as many steps."""

        def __init__(self, factor: float) -> None:
            super().__init__()
            self.factor = factor

    def __init__(
        self,
        metric: Metric,
        view: ChartView,
        *,
        empty: str = "",
        id: str | None = None,
        classes: str | None = None,
    ) -> None:
        """`empty` is shown while there is no point."""
        super().__init__(id=id, classes=classes)
        self.metric = metric
        self.view = view
        self.empty = empty
        self._curves: Curves | None = None
        self._overlays: Sequence[Overlay] = ()
        self._marks: Sequence[Mark] = ()
        self._legend = ""
        self._smoothed: dict[int, Smoothed] = {}
        self._picture: Picture | None = None
        self._lines: list[Strip] = []
        self._base = Style()
        self._drawn = 0.0
        self._timer: Timer | None = None
        self.frames = 0
        """How often it was drawn."""

    def on_mount(self) -> None:
        self.app.theme_changed_signal.subscribe(self, lambda _: self.draw_soon())

    def on_resize(self) -> None:
        self.draw_soon()

    def show(
        self,
        curves: Curves | None,
        overlays: Sequence[Overlay] = (),
        marks: Sequence[Mark] = (),
        legend: str = "",
    ) -> None:
        """Show these curves as they are now; None shows none. `legend` says what the marks are."""
        self._curves, self._overlays = curves, overlays
        self._marks, self._legend = marks, legend
        self.draw_soon()

    def on_click(self, event: events.Click) -> None:
        if self._picture and event.x >= self._picture.left:
            self.post_message(self.Pointed(self._picture.step_at(event.x)))

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self.post_message(self.Wheeled(0.5))

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self.post_message(self.Wheeled(2.0))

    @property
    def shown_to(self) -> float:
        """The last step that is drawn; 0 where nothing is."""
        return self._picture.window.last if self._picture else 0.0

    @property
    def is_whole(self) -> bool:
        """Whether the moving averages that are drawn reach to the last point."""
        return all(len(one.series) == len(one.source) for one in self._smoothed.values())

    @property
    def steps_per_cell(self) -> float:
        """How many steps one cell shows."""
        return self._picture.window.width / self._picture.columns if self._picture else 1.0

    def draw_soon(self) -> None:
        """Draw again, a third of a second after the last time at the earliest."""
        if self._timer is None and self.is_attached:
            wait = self._drawn + _SECONDS_BETWEEN_FRAMES - time.monotonic()
            self._timer = self.set_timer(max(wait, 0.01), self.draw)

    def draw(self) -> None:
        """Draw now."""
        if self._timer is not None:
            self._timer.stop()
        self._timer, self._drawn = None, time.monotonic()
        if not self.display or not self.size.width:
            return
        self.frames += 1
        behind = [one for one in self._followed() if not one.follow()]
        first, last = extent(self.metric, self._curves, self._overlays)
        window = self.view.window(first, last)
        self._picture = picture(
            self._drawing(),
            [*self._marks, *self._not_finite(window)],
            window,
            self.size.width,
            self.size.height - 1,
            log=self.view.log,
            cursor=self.view.cursor,
        )
        styles = self._styles()
        self._lines = [self._first_line(window, styles)]
        if self._picture is not None:
            self._lines += [_strip(row, styles) for row in self._picture.rows]
        elif self._has_points():
            room = has_room(self.size.width, self.size.height - 1)
            words = "No finite point here." if room else "No room for the curve."
            self._lines.append(Strip([Segment(words, styles["axis"])]))
        self.refresh()
        if behind:
            self._timer = self.set_timer(_SECONDS_WHILE_BEHIND, self.draw)

    def render_line(self, y: int) -> Strip:
        if y < len(self._lines):
            return self._lines[y].adjust_cell_length(self.size.width, self._base)
        return Strip.blank(self.size.width, self._base)

    # What is drawn

    def _get(self, curves: Curves | None, name: str) -> Series:
        return curves.get(name) if curves is not None and name else Series()

    def _has_points(self) -> bool:
        names = (self.metric.name, self.metric.points)
        return any(len(self._get(self._curves, name)) for name in names)

    def _followed(self) -> list[Smoothed]:
        """The moving averages that are to be seen, made where they are missing."""
        weight = self.view.smoothing
        if not weight or not self.metric.smoothed:
            self._smoothed = {}
            return []
        sources = [self._get(self._curves, self.metric.name)]
        sources += [self._get(overlay.curves, self.metric.name) for overlay in self._overlays]
        kept = {}
        for source in sources:
            held = self._smoothed.get(id(source))
            if held is None or held.weight != weight or held.source is not source:
                held = Smoothed(source, weight)
            kept[id(source)] = held
        self._smoothed = kept
        return list(kept.values())

    def _best_of(self, series: Series) -> Series:
        """Its moving average where there is one."""
        held = self._smoothed.get(id(series))
        return held.series if held else series

    def _drawing(self) -> list[Curve]:
        found = []
        for overlay, style in zip(self._overlays, OVERLAY_STYLES, strict=False):
            series = self._get(overlay.curves, self.metric.name)
            found.append(Curve(self._best_of(series), style, letter=overlay.letter))
        raw = self._get(self._curves, self.metric.name)
        smooth = self._best_of(raw)
        found.append(Curve(raw, "line" if smooth is raw else "raw"))
        if smooth is not raw:
            found.append(Curve(smooth, "line"))
        if self.metric.points:
            points = self._get(self._curves, self.metric.points)
            found.append(Curve(points, "points", marker=EVAL_MARKER))
        return found

    def _not_finite(self, window: Window) -> list[Mark]:
        series = self._get(self._curves, self.metric.name)
        found = {}
        for index in series.gaps:
            step = series.steps[index]
            found[round(window.share(step) * self.size.width)] = Mark(step, "×", "bad")
            if len(found) > self.size.width:
                break
        return list(found.values())

    def _styles(self) -> dict[str, Style]:
        """By the names that the picture uses. The smoothed line is bold, the raw one dim: they
        are told apart without colour."""
        colours = self.app.theme_variables
        base = self._base = self.rich_style

        def style(name: str, *, bold: bool | None = None, dim: bool | None = None) -> Style:
            return base + Style(color=colours.get(name), bold=bold, dim=dim)

        return {
            "": base,
            "axis": base + Style(dim=True),
            "cursor": base + Style(bold=True),
            "raw": style("primary", dim=True),
            "line": style("primary", bold=True),
            "points": style("accent", bold=True),
            "mark": style("secondary", bold=True),
            "bad": style("error", bold=True),
            "bold": base + Style(bold=True),
            **{name: style(name) for name in OVERLAY_STYLES},
        }

    # The first line

    def _first_line(self, window: Window, styles: dict[str, Style]) -> Strip:
        if not self._has_points():
            return Strip([Segment(self.empty, styles[""])])
        words = self._values() if self.view.cursor is not None else self._key(window)
        room = self.size.width
        segments = []
        for text, style in words:
            if room <= 0:
                break
            shown = text if cell_len(text) <= room else set_cell_size(text, room - 1) + "…"
            segments.append(Segment(shown, styles[style]))
            room -= cell_len(shown)
        return Strip(segments)

    def _key(self, window: Window) -> list[tuple[str, str]]:
        metric, view = self.metric, self.view
        raw = self._get(self._curves, metric.name)
        words: list[tuple[str, str]] = [
            (f"{LINE_MARKER} ", "line"),
            (metric.title, ""),
            (f" {raw.values[-1]:{metric.form}}" if len(raw) else "", "bold"),
        ]
        if len(raw.gaps):
            first = raw.steps[raw.gaps[0]]
            words.append((f"  × {len(raw.gaps)} not finite, the first at step {first:,}", "bad"))
        points = self._get(self._curves, metric.points)
        if len(points):
            words += [
                (f"  {EVAL_MARKER} ", "points"),
                (metric.points_title, ""),
                (f" {points.values[-1]:{metric.form}}", "bold"),
            ]
        for overlay, style in zip(self._overlays, OVERLAY_STYLES, strict=False):
            words += [(f"  {overlay.letter} ", style), (overlay.name, "")]
        if view.log:
            words.append(("  log", ""))
        if view.span is not None:
            words.append((f"  steps {window.first:,.0f}-{window.last:,.0f}", ""))
        if self._smoothed:
            words.append((f"  smoothed {view.smoothing:g}", ""))
        words.append((f"  {self._legend}" if self._legend else "", ""))
        return words

    def _values(self) -> list[tuple[str, str]]:
        """What stands at the cursor, or before it where nothing does."""
        metric, cursor = self.metric, self.view.cursor
        assert cursor is not None
        words: list[tuple[str, str]] = [(f"step {cursor:,.0f}: ", "bold")]

        def add(title: str, series: Series, style: str) -> None:
            at = series.at(cursor + 0.5) - 1
            if at >= 0:
                words.append((f" {title} ", style))
                words.append((written(series.values[at], metric.form), "bold"))

        raw = self._get(self._curves, metric.name)
        add(metric.title, raw, "")
        if self._best_of(raw) is not raw:
            add(" smoothed", self._best_of(raw), "")
        add(f" {metric.points_title}", self._get(self._curves, metric.points), "points")
        for overlay, style in zip(self._overlays, OVERLAY_STYLES, strict=False):
            add(f" {overlay.letter}", self._get(overlay.curves, metric.name), style)
        return words


def extent(
    metric: Metric, curves: Curves | None, overlays: Sequence[Overlay] = ()
) -> tuple[float, float]:
    """The first and the last step of a metric in these runs; 0 and 0 where there is none."""
    every = [curves, *(overlay.curves for overlay in overlays)]
    names = [name for name in (metric.name, metric.points) if name]
    found = [one.get(name) for one in every if one is not None for name in names]
    ends = [(series.steps[0], series.steps[-1]) for series in found if len(series)]
    return (min(a for a, _ in ends), max(b for _, b in ends)) if ends else (0.0, 0.0)


def written(value: float, form: str) -> str:
    """A value; NaN and infinities in the words that everyone knows."""
    if math.isfinite(value):
        return format(value, form)
    return "NaN" if math.isnan(value) else "∞" if value > 0 else "-∞"


def _strip(row: list[Cell], styles: dict[str, Style]) -> Strip:
    segments: list[Segment] = []
    text, name = "", row[0][1] if row else ""
    for character, style in row:
        if style != name:
            segments.append(Segment(text, styles[name]))
            text, name = "", style
        text += character
    segments.append(Segment(text, styles[name]))
    return Strip(segments)
