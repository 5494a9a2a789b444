"""The Export screen: the folder for the app, what is missing for it, what lies there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.widgets import Static

from haruon_tui.jobs.store import Store
from haruon_tui.screens.actions import Mode, bindings
from haruon_tui.screens.export_texts import chosen_of, exported_text, offer_text
from haruon_tui.screens.reading import read_off_loop
from haruon_tui.screens.stage_screen import StageScreen
from haruon_tui.screens.widgets.error_panel import ErrorPanel
from haruon_tui.styles import stylesheet

if TYPE_CHECKING:
    from haruon_tui.export.choice import Readiness
    from haruon_tui.jobs.events import Event
    from haruon_tui.planning import Step
    from haruon_tui.screens.history import History
    from haruon_tui.screens.session import Session

_WAITING = "Looking at what there is to export …"


@dataclass(frozen=True)
class Found:
    """What can be exported, and the manifest of the folder that lies there already."""

    ready: Readiness
    manifest: dict[str, Any] | None
    is_taken: bool


class ExportScreen(StageScreen):
    """r exports; o chooses the GGUF, w the place; c, y and p hand the files on."""

    CSS_PATH = stylesheet("export")
    BINDINGS = bindings("export", "stage", "job")

    def __init__(self, mode: Mode, session: Session) -> None:
        super().__init__(mode, session)
        self._gguf: str | None = None
        self._out: Path | None = None
        self._found: Found | None = None
        self._plan: dict[str, Step] = {}

    def compose_body(self) -> ComposeResult:
        yield ErrorPanel(id="missing")
        yield Static(_WAITING, id="offer", markup=False)
        with VerticalScroll(id="exported"):
            yield Static("", id="exported-text", markup=False)

    # What is shown

    def show_plan(self, steps: dict[str, Step]) -> None:
        self._plan = dict(steps)
        self._look()

    def show_update(self, history: History, events: list[Event]) -> None:
        if any(event["kind"] in ("finished", "failed", "stopped") for event in events):
            self._look()

    def _look(self) -> None:
        steps, out = self._plan, self._place
        store = Store(self.session.workspace.runs)
        if steps:
            read_off_loop(self, lambda: look(steps, store, out), self._show)

    @property
    def _place(self) -> Path:
        return self._out or self.session.workspace.folder / "export" / "app"

    def _show(self, found: Found) -> None:
        self._found = found
        problem = found.ready.problem
        self.query_one("#missing", ErrorPanel).show(problem.as_dict() if problem else None)
        offer = self.query_one("#offer", Static)
        offer.display = problem is None
        if problem is None:
            offer.update(offer_text(found.ready, self._gguf, self._place))
        words = exported_text(found.manifest) if found.manifest else ""
        self.query_one("#exported-text", Static).update(words)
        self.refresh_bindings()

    # Keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        ready = self._found.ready if self._found else None
        if action == "choose_gguf":
            return True if ready and ready.candidates else None
        if action in ("card", "copy_lines", "push"):
            return True if ready and ready.problem is None else None
        if action in ("run", "run_again") and (ready is None or not chosen_of(ready, self._gguf)):
            return None
        return super().check_action(action, parameters)

    def action_run(self) -> None:
        """Export; where an export lies already, ask before it is replaced."""
        if self._found is None or not self._found.is_taken or self.session.read_only:
            self.session.export(self._gguf, self._out, replace=False)
            return
        from haruon_tui.screens.confirm import ConfirmScreen

        def answered(yes: bool | None) -> None:
            if yes:
                self.action_run_again()

        place = self._place
        question = f"Replace {place.name}?"
        self.app.push_screen(
            ConfirmScreen(question, f"{place} is there already.", "Replace it"), answered
        )

    def action_run_again(self) -> None:
        self.session.export(self._gguf, self._out, replace=True)

    def action_choose_gguf(self) -> None:
        from haruon_tui.screens.pick import PickScreen

        if self._found is None:
            return
        ready = self._found.ready
        choices = [
            (one.type, f"{one.type:<7} {one.bytes / 1e6:>9,.1f} MB") for one in ready.candidates
        ]
        if ready.recommended:
            choices.insert(0, ("", f"what the comparison recommends: {ready.recommended.type}"))

        def take(kind: str | None) -> None:
            if kind is not None:
                self._gguf = kind or None
                self._look()

        self.app.push_screen(PickScreen("The GGUF for the app", choices), take)

    def action_choose_place(self) -> None:
        from haruon_tui.screens.prompt import PromptScreen

        def take(path: str | None) -> None:
            if path is not None:
                folder = Path(path.strip()).expanduser()
                self._out = self.session.workspace.folder / folder
                self._look()

        self.app.push_screen(
            PromptScreen(
                "The folder to write", "In the workspace, or a whole path.", str(self._place)
            ),
            take,
        )

    def action_card(self) -> None:
        self.session.write_card()

    def action_copy_lines(self) -> None:
        """Show the lines for the folder that lies there, else for the chosen GGUF."""
        from haruon_tui.screens.whole_text import WholeTextScreen

        if self._found is None:
            return
        chosen = chosen_of(self._found.ready, self._gguf)
        source = self._place if self._found.manifest or chosen is None else chosen.path
        self.app.notify("Hashing the files …")

        def show(text: str) -> None:
            self.app.push_screen(WholeTextScreen("To copy, on the other machine", text))

        read_off_loop(self, lambda: copy_lines(source), show)

    def action_push(self) -> None:
        from haruon_tui.screens.prompt import PromptScreen

        def take(name: str | None) -> None:
            if name is not None:
                self.session.push(name.strip())

        self.app.push_screen(
            PromptScreen(
                "Push to the Hub", "OWNER/NAME; the token is HF_TOKEN. A new one is private."
            ),
            take,
        )

    def action_page(self, step: int) -> None:
        scroll = self.query_one("#exported", VerticalScroll)
        scroll.scroll_relative(y=step * max(1, scroll.size.height - 1), animate=False)


def look(steps: dict[str, Step], store: Store, out: Path) -> Found:
    """What the steps of the plan have for the app, and what lies at `out`. Off the event loop."""
    from haruon_tui.export.choice import readiness
    from haruon_tui.export.place import read_export

    return Found(readiness(steps, store), read_export(out), out.exists())


def copy_lines(source: Path) -> str:
    """The lines that copy a file or folder, or why there are none. Off the event loop."""
    from haruon_tui.errors import HaruonError
    from haruon_tui.handover import copy_command

    try:
        found = copy_command.lines(source)
    except HaruonError as error:
        return str(error)
    return "\n\n".join(f"# {about}\n{line}" for about, line in copy_command.explained(found))
