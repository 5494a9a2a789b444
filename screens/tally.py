"""The tally of a round of report mode."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from haruon_tui.screens.widgets.key_line import KeyLine
from haruon_tui.styles import stylesheet


class TallyScreen(ModalScreen[None]):
    """Closed by the key that opened it."""

    CSS_PATH = stylesheet("help")
    BINDINGS: ClassVar = [
        Binding("escape", "dismiss", "Back"),
        Binding("f,q,enter", "dismiss", "Back", show=False),
    ]

    def __init__(self, tally: Text) -> None:
        super().__init__()
        self._tally = tally

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="keys"):
            yield Static(self._tally)
        yield KeyLine()
