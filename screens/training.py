"""The Train screen: the curves, figures and use of the machine of the fine-tuning, live."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table
from textual import on
from textual.app import ComposeResult
from textual.containers import Container, VerticalScroll
from textual.widgets import Static

from haruon_tui.screens.actions import Mode, bindings
from haruon_tui.screens.chart_view import ChartView, moved
from haruon_tui.screens.choose_runs import ChooseRunsScreen
from haruon_tui.screens.plain_text import plain
from haruon_tui.screens.run_comparison import compare, comparison_table
from haruon_tui.screens.stage_screen import StageScreen
from haruon_tui.screens.training_figures import (
    METRICS,
    changes_line,
    legend,
    marks,
    settings_line,
    training_figures,
)
from haruon_tui.screens.widgets.answers_view import answers_text, newest_text
from haruon_tui.screens.widgets.chart import Chart, Overlay, extent
from haruon_tui.screens.widgets.charts_area import ChartsArea
from haruon_tui.screens.widgets.figures import Figures
from haruon_tui.screens.widgets.uses_panel import UsesPanel
from haruon_tui.styles import stylesheet

if TYPE_CHECKING:
    from haruon_tui.jobs.events import Event
    from haruon_tui.planning import Step
    from haruon_tui.screens.history import History
    from haruon_tui.screens.session import Session
    from haruon_tui.settings import TrainSettings

_LETTERS = "abcd"
VIEWS = ("curves", "answers", "runs")
_CHOOSE = "Press o and choose earlier trainings: their curves and figures stand beside this one's."
_EMPTY = "The loss curve appears here as soon as a training runs."


class TrainingScreen(StageScreen):
    """The curves on top or at the left, the figures below or at the right of them. Where there is
    room every metric has its chart, else `c` shows the next one."""

    CSS_PATH = stylesheet("training")
    BINDINGS = bindings("training", "stage", "job")

    def __init__(self, mode: Mode, session: Session) -> None:
        super().__init__(mode, session)
        self._settings: TrainSettings | None = None
        self.chart_view = ChartView()
        self.compared: list[str] = []
        """The ids of the runs that are seen beside the newest."""
        self._view = VIEWS[0]
        self._announced: set[str] = set()
        self._said: tuple[object, ...] = ()

    def compose_body(self) -> ComposeResult:
        with VerticalScroll(id="answers"):
            yield Static("", id="all-answers", markup=False)
        with VerticalScroll(id="runs"):
            yield Static("", id="comparison", markup=False)
        with Container(id="training"):
            yield ChartsArea(METRICS, self.chart_view, empty=_EMPTY, id="curves")
            with Container(id="facts"):
                yield Figures(id="figures")
                yield UsesPanel(id="uses")
                yield Static("", id="settings", markup=False)
                yield Static("", id="newest-answer", markup=False)

    def show_plan(self, steps: dict[str, Step]) -> None:
        self._settings = getattr(steps["train"].params, "settings", None)
        self._show_settings()

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

    def others(self) -> list[History]:
        """The runs that were chosen to be seen beside this one."""
        job = self.job()
        rows = {row.run.id: row.run for row in self.session.overview.runs}
        found = [self.session.history(rows[i]) for i in self.compared if i in rows]
        return [one for one in found if one is not None and one is not job]

    def overlays(self) -> list[Overlay]:
        """Their curves."""
        return [
            Overlay(letter, one.run.id[-4:], one.curves)
            for letter, one in zip(_LETTERS, self.others(), strict=False)
        ]

    def _show_job(self) -> None:
        job = self.job()
        curves = job.curves if job else None
        found, words = marks(job), legend(job)
        overlays = self.overlays()
        self.chart.show(curves, overlays, found, words)
        for chart in self.query(".other").results(Chart):
            chart.display = curves is not None and len(curves.get(chart.metric.name)) > 0
            chart.show(curves, overlays, found)
        self._show_settings()
        self._show_figures()
        self._show_uses()
        self._show_texts()

    def _show_texts(self) -> None:
        """Answers and comparison, where they have changed and are seen."""
        job = self.job()
        answers = job.answers if job else []
        newest = answers[-1] if answers else None
        state = job.status.state if job and job.status else None
        others = [(one.run.id, one.points, one.status) for one in self.others()]
        seen = (self._view, job and job.run.id, newest, state, others)
        if self._view == "runs" or seen != self._said:
            self._said = seen
            if self._view == "answers":
                self.query_one("#all-answers", Static).update(answers_text(answers))
            elif self._view == "runs":
                self.query_one("#comparison", Static).update(self._compared(job))
            else:
                self.query_one("#newest-answer", Static).update(newest_text(answers))

    def _compared(self, job: History | None) -> Table | str:
        others = self.others()
        if job is None or not others:
            return _CHOOSE
        return comparison_table(compare([job, *others]), ["", *_LETTERS[: len(others)]])

    def _show_settings(self) -> None:
        words = "\n".join(filter(None, (changes_line(self.job()), settings_line(self._settings))))
        self.query_one("#settings", Static).update(words)

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

    def action_change_view(self) -> None:
        self._view = VIEWS[(VIEWS.index(self._view) + 1) % len(VIEWS)]
        for view in VIEWS:
            self.set_class(view == self._view, f"-{view}")
        self._show_texts()

    def action_page(self, pages: int) -> None:
        scrolled = self.query_one(f"#{self._view}")
        scrolled.scroll_relative(y=pages * max(1, scrolled.size.height - 1), animate=False)

    def action_choose_runs(self) -> None:
        job = self.job()
        rows = [
            row
            for row in self.session.overview.runs
            if row.stage == self.stage and (job is None or row.run.id != job.run.id)
        ]
        if not rows:
            self.notify("There is no earlier training in this workspace.")
            return

        def chosen(runs: list[str] | None) -> None:
            if runs is not None:
                self.compared = runs
                self._show_job()

        self.app.push_screen(ChooseRunsScreen(rows, self.compared, len(_LETTERS)), chosen)

    def action_recipe(self) -> None:
        from haruon_tui.screens.recipe import RecipeScreen

        if self.session.steps:
            self.app.push_screen(RecipeScreen(self.session))

    def action_save_chart(self) -> None:
        """Write what is seen as SVG and PNG, and every value as CSV, into charts/."""
        job = self.job()
        if job is None or not job.points:
            self.notify("There is no curve to save yet.")
            return
        folder = self.session.workspace.folder
        view = self.chart_view
        stem = folder / "charts" / f"{job.run.id}-step-{self.chart.shown_to:.0f}"
        runs = [job.run.id, *(one.run.id for one in self.others())]
        options = ["--smoothing", f"{view.smoothing:g}", *(["--log"] if view.log else [])]
        self.notify("Drawing the charts …")
        command = ["train", "chart", *runs, *options, "--force", "-C", str(folder)]
        self.run_worker(lambda: self._save_chart(stem, command), thread=True, exit_on_error=False)

    def _save_chart(self, stem: Path, command: list[str]) -> None:
        """In a thread: matplotlib is loaded by a process of its own."""
        stem.parent.mkdir(exist_ok=True)
        for form in ("svg", "png", "csv"):
            done = subprocess.run(
                [sys.executable, "-P", "-m", "haruon_tui", *command, "--out", f"{stem}.{form}"],
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                words, severity = plain(done.stderr.strip()[-400:]), "error"
                break
        else:
            words, severity = plain(f"{stem}.svg, .png, .csv"), "information"
        self.app.call_from_thread(
            self.notify, words, title="Charts", severity=severity, markup=False
        )

    def action_labels(self) -> None:
        from haruon_tui.screens.labels import LabelsScreen

        step = self.session.steps.get("train")
        params: Any = step.params if step else None
        if hasattr(params, "train_file"):
            self.app.push_screen(LabelsScreen(params.model, params.train_file, params.settings))

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
