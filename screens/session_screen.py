"""The frame of every mode: top line, stage bar, footer, and news of the session."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.screen import Screen

from haruon_tui.screens.actions import Mode
from haruon_tui.screens.widgets.key_line import KeyLine
from haruon_tui.screens.widgets.stage_bar import StageBar
from haruon_tui.screens.widgets.top_line import TopLine

if TYPE_CHECKING:
    from haruon_tui.jobs.events import Event
    from haruon_tui.screens.history import History
    from haruon_tui.screens.session import Session


class SessionScreen(Screen[None]):
    """A mode. While it is on top it hears `overview_changed`, `run_changed` and, every second,
    `tick`; when it comes back on top it hears `overview_changed`. It hears `load_sampled` for
    every sample of the machine's load."""

    def __init__(self, mode: Mode, session: Session) -> None:
        super().__init__()
        self.mode = mode
        self.session = session

    def compose(self) -> ComposeResult:
        yield TopLine(self.session)
        yield StageBar(self.session, self.mode.name)
        yield from self.compose_mode()
        yield KeyLine()

    def compose_mode(self) -> ComposeResult:
        """What stands between the stage bar and the footer."""
        yield from ()

    def job(self) -> History | None:
        """The job that the keys of the scope "job" mean."""
        return None

    def overview_changed(self) -> None:
        """The plan, the results, the list of runs or a problem have changed."""
        self.query_one(StageBar).refresh()
        self.query_one(TopLine).refresh()
        self.refresh_bindings()

    def run_changed(self, history: History, events: list[Event]) -> None:
        """A run has news."""
        self.query_one(StageBar).refresh()
        self.refresh_bindings()

    def load_sampled(self) -> None:
        """There is a newer sample of the machine's load."""
        self.query_one(TopLine).refresh()

    def tick(self) -> None:
        """A second has passed."""

    def on_screen_resume(self) -> None:
        if self.is_mounted:
            self.overview_changed()

    def on_mount(self) -> None:
        self.call_after_refresh(self.overview_changed)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Dim the keys that have nothing to act on."""
        job = self.job()
        state = job.status.state if job and job.status else None
        if action == "stop":
            return True if state is not None and state.active else None
        if action == "resume":
            return True if state in ("stopped", "failed", "crashed") else None
        if action == "log":
            return True if job else None
        return True

    def action_stop(self) -> None:
        job = self.job()
        if job is None:
            return
        if self.session.read_only:
            self.session.stop(job.run)  # which says why not
            return
        from haruon_tui.screens.confirm import ConfirmScreen

        def answered(yes: bool | None) -> None:
            if yes:
                self.session.stop(job.run)

        question = f"Stop {job.run.id}?"
        detail = "It ends at its next checkpoint and can be resumed."
        self.app.push_screen(ConfirmScreen(question, detail, "Stop it"), answered)

    def action_resume(self) -> None:
        if job := self.job():
            self.session.resume(job.run)

    def action_log(self) -> None:
        if job := self.job():
            from haruon_tui.screens.log import LogScreen

            self.app.push_screen(LogScreen(job))
