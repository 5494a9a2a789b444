"""A long text to read, and nothing else."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from haruon_tui.screens.plain_text import plain_text
from haruon_tui.styles import stylesheet


class WholeTextScreen(ModalScreen[None]):
    """Scrolls; Escape leaves."""

    CSS_PATH = stylesheet("whole_text")
    AUTO_FOCUS = "VerticalScroll"
    BINDINGS: ClassVar = [Binding("escape,q", "dismiss(None)", "Back")]

    def __init__(self, title: str, text: str) -> None:
        super().__init__()
        self._title = title
        self._text = text

    def compose(self) -> ComposeResult:
        with Vertical(id="dialog"):
            yield Static(plain_text(self._title, "bold"))
            with VerticalScroll():
                yield Static(plain_text(self._text))
            yield Static(plain_text("Esc: back", "dim"))
