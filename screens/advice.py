"""What the runs say should be changed for the next one, with the figures that show it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.message import Message
from textual.screen import Screen
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from haruon_tui.screens.engine import parts
from haruon_tui.screens.memory import in_words
from haruon_tui.screens.plain_text import plain
from haruon_tui.screens.widgets.key_line import KeyLine
from haruon_tui.styles import stylesheet

if TYPE_CHECKING:
    from haruon_tui.advice.rules import Advice
    from haruon_tui.screens.session import Session

_NOTHING = (
    "Nothing to advise: what has run so far shows none of the symptoms. Training, evaluation and "
    "the comparison of quantizations give it something to look at."
)


class AdviceScreen(Screen[None]):
    """Opened by `A` on the stage screens. Enter writes the change of the marked advice."""

    CSS_PATH = stylesheet("advice")
    BINDINGS: ClassVar = [
        Binding("escape", "dismiss", "Back"),
        Binding("A,q", "dismiss", "Back", show=False),
        Binding("c", "look", "Look again"),
        Binding("enter", "apply", "Make this change"),
    ]
    covers = True

    class Found(Message):
        """The runs were read."""

        def __init__(self, advice: list[Advice], problem: str = "") -> None:
            super().__init__()
            self.advice = advice
            self.problem = problem

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self.advice: list[Advice] = []

    def compose(self) -> ComposeResult:
        yield Static("Advice for the next run", id="title", markup=False)
        yield Static("Reading the runs …", id="about", markup=False)
        yield OptionList(id="found", markup=False)
        yield KeyLine()

    def on_mount(self) -> None:
        self.action_look()

    def action_look(self) -> None:
        threading.Thread(target=self._look, name="advice", daemon=True).start()

    def _look(self) -> None:
        from haruon_tui.advice import evidence, rules

        try:
            found = rules.advise(evidence.gather(self._session.workspace))
        except Exception as error:  # noqa: BLE001 - the screen must say it
            self.post_message(self.Found([], parts(error)["what"]))
        else:
            self.post_message(self.Found(found))

    @on(Found)
    def _show(self, message: Found) -> None:
        self.advice = message.advice
        about = f"✗ {plain(message.problem)}" if message.problem else _NOTHING
        if self.advice:
            about = "Enter writes the marked change; what depends on it runs anew."
        self.query_one("#about", Static).update(about)
        choices = self.query_one("#found", OptionList)
        choices.clear_options()
        choices.add_options([Option(described(one)) for one in self.advice])
        choices.display = bool(self.advice)
        if self.advice:
            choices.highlighted = 0
            choices.focus()

    @on(OptionList.OptionSelected)
    def _selected(self) -> None:
        self.action_apply()

    def action_apply(self) -> None:
        at = self.query_one("#found", OptionList).highlighted
        if at is None or at >= len(self.advice):
            return
        self._session.set_keys(self.advice[at].changes)  # read-only, it says why not
        if not self._session.read_only:
            self.dismiss()


def described(advice: Advice) -> Text:
    """Title, evidence and change, one below the other."""
    text = Text(f"{plain(advice.title)}\n", style="bold")
    text.append(f"  seen    {plain(advice.evidence)}\n", style="not bold")
    text.append(f"  change  {in_words(advice.changes)}\n", style="not bold")
    return text
