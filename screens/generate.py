"""The generation of examples, live: what is accepted and rejected, why, what it costs, the latest.

Opened by `g` on the Dataset screen. Nothing is asked for before a yes to what it would take.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Horizontal, VerticalScroll
from textual.widgets import Static

from haruon_tui.screens.actions import MODES, bindings
from haruon_tui.screens.generation_figures import (
    NOT_CONFIGURED,
    estimate_text,
    figures,
    latest_text,
    reasons_text,
    short_text,
)
from haruon_tui.screens.reading import read_off_loop
from haruon_tui.screens.session_screen import SessionScreen
from haruon_tui.screens.widgets.error_panel import ErrorPanel
from haruon_tui.screens.widgets.figures import Figures
from haruon_tui.screens.widgets.job_panel import JobPanel
from haruon_tui.styles import stylesheet

if TYPE_CHECKING:
    from haruon_tui.dataset.generation.estimate import Estimate
    from haruon_tui.dataset.generation.live import Live
    from haruon_tui.dataset.generation.stage import Params
    from haruon_tui.jobs.events import Event
    from haruon_tui.jobs.store import Run
    from haruon_tui.screens.history import History
    from haruon_tui.screens.session import Session
    from haruon_tui.workspace import Workspace

_STAGE = "generate"
_ACCEPTED = "accepted.jsonl"


@dataclass(frozen=True)
class Plan:
    """What today's settings ask for. `estimate` is None for the composer, which costs nothing;
    with a `problem` (an error's parts) nothing can be asked for."""

    params: Params | None = None
    estimate: Estimate | None = None
    problem: dict[str, str] | None = None


class GenerateScreen(SessionScreen):
    """The newest generation of this workspace, and what another one would take."""

    CSS_PATH = stylesheet("generate")
    BINDINGS = bindings("generation", "job")

    def __init__(self, session: Session) -> None:
        super().__init__(next(mode for mode in MODES if mode.name == "dataset"), session)
        self._plan: Plan | None = None
        self._live: Live | None = None
        self._live_of = ""
        self._reading = False
        self._browsable = False

    def compose_mode(self) -> ComposeResult:
        yield ErrorPanel(id="problem")
        yield Static("Looking at the settings …", id="plan", markup=False)
        yield Figures(id="figures")
        with Horizontal(id="both"):
            with VerticalScroll(id="left", can_focus=False):
                yield Static("", id="reasons", markup=False)
            with VerticalScroll(id="right"):
                yield Static("", id="latest", markup=False)
        yield JobPanel(id="job")

    def on_mount(self) -> None:
        self.query_one("#right").focus()

    def job(self) -> History | None:
        return self.session.history(self._run())

    def _run(self) -> Run | None:
        """The active generation, else the newest."""
        if active := self.session.active(_STAGE):
            return active.run
        return next((row.run for row in self.session.overview.runs if row.stage == _STAGE), None)

    # News

    def overview_changed(self) -> None:
        super().overview_changed()
        self._look()
        self._read()
        self._sync()

    def run_changed(self, history: History, events: list[Event]) -> None:
        super().run_changed(history, events)
        if history.stage != _STAGE:
            return
        if not history.active:  # its last figures, and what is left to ask for
            self._look()
            self._read()
        self._sync()

    def tick(self) -> None:
        if self.session.active(_STAGE):
            self._read()
        self._sync()

    def _look(self) -> None:
        workspace = self.session.workspace
        read_off_loop(self, lambda: look(workspace), self._take_plan)

    def _take_plan(self, plan: Plan) -> None:
        self._plan = plan
        self._sync()

    def _read(self) -> None:
        run = self._run()
        if run is None or self._reading:
            return
        self._reading = True
        read_off_loop(self, lambda: read(run), lambda found: self._take_live(run.id, *found))

    def _take_live(self, run_id: str, live: Live | None, browsable: bool) -> None:
        self._reading = False
        self._live_of, self._live, self._browsable = run_id, live, browsable
        self._sync()

    def _sync(self) -> None:
        if not self.is_mounted:
            return
        plan, job, run = self._plan, self.job(), self._run()
        live = self._live if run is not None and run.id == self._live_of else None
        problem = plan.problem if plan else None
        unset = problem is not None and problem.get("where") == "generate.model"
        self.query_one("#problem", ErrorPanel).show(None if unset else problem)
        words: Text | str = "Looking at the settings …"
        if unset:
            words = Text(NOT_CONFIGURED)
        elif plan and plan.params:
            say = estimate_text if live is None else short_text
            words = say(plan.params, plan.estimate)
        elif plan:
            words = ""
        shown = self.query_one("#plan", Static)
        shown.update(words)
        shown.display = bool(words)
        self.set_class(live is None, "-empty")
        if live is not None:
            self.query_one("#figures", Figures).show(figures(live, job, time.time()))
            self.query_one("#reasons", Static).update(reasons_text(live))
            self.query_one("#latest", Static).update(latest_text(live))
        start = ": r starts it, and asks before it costs" if plan and plan.params else ""
        self.query_one("#job", JobPanel).show(job, f"No generation yet{start}.")
        self.refresh_bindings()

    # Keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "generate":
            ready = self._plan is not None and self._plan.problem is None
            return True if ready and not self.session.active(_STAGE) else None
        if action == "browse_accepted":
            return True if self._browsable else None
        return super().check_action(action, parameters)

    def action_generate(self) -> None:
        plan = self._plan
        if plan is None or plan.params is None:
            return
        found = plan.estimate
        if self.session.read_only or found is None or not found.to_ask:
            self.session.generate()
            return
        from haruon_tui.screens.confirm import ConfirmScreen

        def answered(yes: bool | None) -> None:
            if yes:
                self.session.generate()

        question = f"Ask {plan.params.model} for {found.to_ask} examples?"
        detail = estimate_text(plan.params, found).plain
        self.app.push_screen(ConfirmScreen(question, detail, "Ask, it may cost"), answered)

    def action_browse_accepted(self) -> None:
        if run := self._run():
            from haruon_tui.screens.dataset_browser import DatasetBrowser

            self.app.push_screen(DatasetBrowser(self.session, run.artifacts / _ACCEPTED))

    def action_leave(self) -> None:
        self.app.pop_screen()


def look(workspace: Workspace) -> Plan:
    """What the settings ask for and what that takes. Touches the disk: off the event loop."""
    from haruon_tui.dataset.generation import stage
    from haruon_tui.errors import HaruonError

    try:
        params = stage.configure(workspace.settings)
        stage.require_key(params)
        found = stage.estimated(params, workspace.folder) if params.base_url else None
    except HaruonError as error:
        return Plan(problem=error.as_dict())
    return Plan(params, found)


def read(run: Run) -> tuple[Live | None, bool]:
    """The run's last figures, and whether its examples can be browsed. Off the event loop."""
    from haruon_tui.dataset.generation import live

    return live.read(run.folder), (run.artifacts / _ACCEPTED).exists()
