"""The Train screen: the loss curve and the figures of the fine-tuning."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.containers import Container
from textual.widgets import Static

from haruon_tui.screens.actions import Mode, bindings
from haruon_tui.screens.stage_screen import StageScreen
from haruon_tui.screens.training_figures import settings_line, training_figures
from haruon_tui.screens.widgets.figures import Figures
from haruon_tui.screens.widgets.loss_chart import LossChart
from haruon_tui.styles import stylesheet

if TYPE_CHECKING:
    from haruon_tui.jobs.events import Event
    from haruon_tui.planning import Step
    from haruon_tui.screens.history import History
    from haruon_tui.screens.session import Session
    from haruon_tui.settings import TrainSettings

_EMPTY = "The loss curve appears here as soon as a training runs."


class TrainingScreen(StageScreen):
    """The curve on top or at the left, the figures below or at the right of it."""

    CSS_PATH = stylesheet("training")
    BINDINGS = bindings("training", "stage", "job")

    def __init__(self, mode: Mode, session: Session) -> None:
        super().__init__(mode, session)
        self._settings: TrainSettings | None = None

    def compose_body(self) -> ComposeResult:
        with Container(id="training"):
            yield LossChart(_EMPTY, id="chart")
            with Container(id="facts"):
                yield Figures(id="figures")
                yield Static("", id="settings", markup=False)

    def show_plan(self, steps: dict[str, Step]) -> None:
        self._settings = getattr(steps["train"].params, "settings", None)
        self.query_one("#settings", Static).update(settings_line(self._settings))
        self._show_job()

    def show_update(self, history: History, events: list[Event]) -> None:
        self._show_job()

    def tick(self) -> None:
        super().tick()
        self._show_figures()

    def _show_job(self) -> None:
        job = self.job()
        self.query_one("#chart", LossChart).show(job.curves if job else None)
        self._show_figures()

    def _show_figures(self) -> None:
        figures = training_figures(self.job(), self._settings, time.time())
        self.query_one("#figures", Figures).show(figures)
