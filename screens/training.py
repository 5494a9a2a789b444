"""The Train screen: the curves, figures and use of the machine of the fine-tuning, live."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult
from textual.containers import Container, Horizontal, Vertical
from textual.widgets import Static

from haruon_tui.screens.actions import Mode, bindings
from haruon_tui.screens.chart_view import ChartView, moved
from haruon_tui.screens.plain_text import plain
from haruon_tui.screens.stage_screen import StageScreen
from haruon_tui.screens.training_figures import (
    METRICS,
    legend,
    marks,
    settings_line,
    training_figures,
)
from haruon_tui.screens.widgets.chart import Chart, Overlay, extent
from haruon_tui.screens.widgets.figures import Figures
from haruon_tui.screens.widgets.uses_panel import UsesPanel
from haruon_tui.styles import stylesheet

if TYPE_CHECKING:
    from haruon_tui.jobs.events import Event
    from haruon_tui.planning import Step
    from haruon_tui.screens.history import History
    from haruon_tui.screens.session import Session
    from haruon_tui.settings import TrainSettings

_EMPTY = "The loss curve appears here as soon as a training runs."


class TrainingScreen(StageScreen):
    """The curves on top or at the left, the figures below or at the right of them. On a tall and
    wide screen every metric has its chart, else `c` shows the next one."""

    CSS_PATH = stylesheet("training")
    BINDINGS = bindings("training", "stage", "job")

    def __init__(self, mode: Mode, session: Session) -> None:
        super().__init__(mode, session)
        self._settings: TrainSettings | None = None
        self.chart_view = ChartView()
        self._announced: set[str] = set()

    def compose_body(self) -> ComposeResult:
        with Container(id="training"):
            with Vertical(id="curves"):
                yield Chart(METRICS[0], self.chart_view, empty=_EMPTY, id="chart")
                with Horizontal(id="others"):
                    for metric in METRICS[1:]:
                        yield Chart(metric, self.chart_view, classes="other")
            with Container(id="facts"):
                yield Figures(id="figures")
                yield UsesPanel(id="uses")
                yield Static("", id="settings", markup=False)

    def show_plan(self, steps: dict[str, Step]) -> None:
        self._settings = getattr(steps["train"].params, "settings", None)
        self.query_one("#settings", Static).update(settings_line(self._settings))

    def overview_changed(self) -> None:
        super().overview_changed()
        self._show_job()  # also while the settings are broken and there is no plan

    def show_update(self, history: History, events: list[Event]) -> None:
        self._show_job()
        self._announce(history)

    def tick(self) -> None:
        super().tick()
        self._show_figures()

    def load_sampled(self) -> None:
        super().load_sampled()
        self._show_uses()

    @property
    def chart(self) -> Chart:
        return self.query_one("#chart", Chart)

    def overlays(self) -> list[Overlay]:
        """The runs that were chosen to be seen beside this one."""
        return []

    def _show_job(self) -> None:
        job = self.job()
        curves = job.curves if job else None
        found, words = marks(job), legend(job)
        overlays = self.overlays()
        self.chart.show(curves, overlays, found, words)
        for chart in self.query(".other").results(Chart):
            chart.display = curves is not None and len(curves.get(chart.metric.name)) > 0
            chart.show(curves, overlays, found)
        self._show_figures()
        self._show_uses()

    def _show_figures(self) -> None:
        figures = training_figures(self.job(), self._settings, time.time())
        self.query_one("#figures", Figures).show(figures)

    def _show_uses(self) -> None:
        self.query_one(UsesPanel).show(self.job(), list(self.session.load.samples))

    def _announce(self, history: History) -> None:
        """Say once that a loss is not finite."""
        gaps = history.curves.get("loss").gaps
        if gaps and history.active and history.run.id not in self._announced:
            self._announced.add(history.run.id)
            step = history.curves.get("loss").steps[gaps[0]]
            self.notify(
                plain(f"first at step {step:,} of {history.run.id}"),
                title="The loss is NaN or infinite",
                severity="warning",
                markup=False,
            )

    # Keys

    def _redraw(self) -> None:
        for chart in self.query(Chart):
            chart.draw()

    def _extent(self) -> tuple[float, float]:
        job = self.job()
        return extent(self.chart.metric, job.curves if job else None, self.overlays())

    def action_next_curve(self) -> None:
        job = self.job()
        names = set(job.curves.names) if job else set()
        shown = [metric for metric in METRICS if metric.name in names] or [METRICS[0]]
        at = shown.index(self.chart.metric) if self.chart.metric in shown else -1
        self.chart.metric = shown[(at + 1) % len(shown)]
        self._redraw()

    def action_log_scale(self) -> None:
        self.chart_view.log = not self.chart_view.log
        self._redraw()

    def action_smoothing(self) -> None:
        self.chart_view.smooth_next()
        self._redraw()

    def action_zoom(self, factor: float) -> None:
        self.chart_view.zoom(factor, *self._extent())
        self._redraw()

    def action_cursor(self, cells: int) -> None:
        job = self.job()
        series = job.curves.get(self.chart.metric.name) if job else None
        if series:
            view = self.chart_view
            step = moved(series, view.cursor, cells * self.chart.steps_per_cell)
            view.point(step, *self._extent())
            self._redraw()

    def action_whole(self) -> None:
        """Away with the cursor, then with the zoom."""
        if self.chart_view.cursor is not None:
            self.chart_view.cursor = None
        else:
            self.chart_view.whole()
        self._redraw()

    @on(Chart.Pointed)
    def _pointed(self, event: Chart.Pointed) -> None:
        self.chart_view.point(event.step, *self._extent())
        self._redraw()

    @on(Chart.Wheeled)
    def _wheeled(self, event: Chart.Wheeled) -> None:
        self.action_zoom(event.factor)
