"""The memory estimate of a training: its parts against what is free, and what would fit."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.message import Message
from textual.screen import Screen
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from haruon_tui.screens.engine import parts
from haruon_tui.screens.plain_text import plain
from haruon_tui.screens.widgets.key_line import KeyLine
from haruon_tui.screens.widgets.memory_bar import gib, memory_text
from haruon_tui.styles import stylesheet

if TYPE_CHECKING:
    from haruon_tui.hardware.memory_plan import MemoryPlan
    from haruon_tui.screens.session import Session

_UNKNOWN = (
    "The base model is not here yet, and its sizes are not known: press 3 and r to get it, or "
    "haruon model fetch."
)


class MemoryScreen(Screen[None]):
    """Opened by `e` on the Hardware and the Train screen."""

    CSS_PATH = stylesheet("memory")
    BINDINGS: ClassVar = [
        Binding("escape", "dismiss", "Back"),
        Binding("e,q", "dismiss", "Back", show=False),
        Binding("c", "look", "Look again"),
        Binding("enter", "apply", "Take this change"),
    ]
    covers = True

    class Looked(Message):
        """The estimate was made."""

        def __init__(self, plan: MemoryPlan | None = None, problem: str = "") -> None:
            super().__init__()
            self.plan = plan
            self.problem = problem

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self._plan: MemoryPlan | None = None

    def compose(self) -> ComposeResult:
        yield Static("Memory of a training, by estimate", id="title", markup=False)
        with VerticalScroll(id="all", can_focus=False):
            yield Static("Looking …", id="parts", markup=False)
            yield Static("", id="about", markup=False)
            yield OptionList(id="fits", markup=False)
        yield KeyLine()

    def on_mount(self) -> None:
        self.action_look()

    def action_look(self) -> None:
        threading.Thread(target=self._look, name="memory", daemon=True).start()

    def _look(self) -> None:
        from haruon_tui.hardware.memory_plan import plan_memory

        try:
            plan = plan_memory(self._session.workspace.settings)
        except Exception as error:  # noqa: BLE001 - the screen must say it
            self.post_message(self.Looked(problem=parts(error)["what"]))
        else:
            self.post_message(self.Looked(plan))

    @on(Looked)
    def _show(self, message: Looked) -> None:
        self._plan = message.plan
        if message.plan is None:
            words = f"✗ {plain(message.problem)}" if message.problem else _UNKNOWN
            self.query_one("#parts", Static).update(words)
        self._draw()

    def on_resize(self) -> None:
        self._draw()

    def _draw(self) -> None:
        plan = self._plan
        if plan is None:
            return
        room = max(20, self.size.width - 6)
        self.query_one("#parts", Static).update(memory_text(plan, room))
        choices = self.query_one("#fits", OptionList)
        choices.clear_options()
        choices.add_options([Option(Text(label)) for label in labels(plan)])
        choices.display = bool(plan.suggestions)
        self.query_one("#about", Static).update(_about(plan))
        if plan.suggestions:
            choices.highlighted = 0
            choices.focus()

    @on(OptionList.OptionSelected)
    def _selected(self) -> None:
        self.action_apply()

    def action_apply(self) -> None:
        at = self.query_one("#fits", OptionList).highlighted
        if self._plan is None or at is None or at >= len(self._plan.suggestions):
            return
        changes = self._plan.suggestions[at].changes
        if self._session.read_only:
            self._session.set_keys(changes)  # which says why not
            return
        from haruon_tui.screens.confirm import ConfirmScreen

        def answered(yes: bool | None) -> None:
            if yes:
                self._session.set_keys(changes)
                self.dismiss()

        detail = f"haruon.toml: {in_words(changes)}. Training is then to be run again."
        self.app.push_screen(
            ConfirmScreen("Change the settings?", detail, "Change them"), answered
        )


def labels(plan: MemoryPlan) -> list[str]:
    """One line for each suggestion."""
    return [
        f"{suggestion.words}: {gib(suggestion.estimate.total)}  ({in_words(suggestion.changes)})"
        for suggestion in plan.suggestions
    ]


def in_words(changes: dict[str, Any]) -> str:
    return ", ".join(f"{key} = {value}" for key, value in changes.items())


def _about(plan: MemoryPlan) -> str:
    if plan.fits:
        return "\nAt batches of the longest example. Shorter examples take less."
    if plan.fits is None:
        return "\nThe driver does not tell how much memory is free."
    if plan.suggestions:
        return "\nWhat fits, the global batch as it is (Enter takes a change):"
    return "\nNothing here makes it fit: free some memory, or take another device."
