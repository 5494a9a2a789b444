"""A text of several lines to change."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Static, TextArea

from haruon_tui.screens.plain_text import plain, plain_text
from haruon_tui.styles import stylesheet


class EditTextScreen(ModalScreen[str | None]):
    """Dismisses with the changed text, None for Escape."""

    CSS_PATH = stylesheet("whole_text")
    AUTO_FOCUS = "TextArea"
    BINDINGS: ClassVar = [
        Binding("escape", "dismiss(None)", "Back"),
        Binding("ctrl+g", "take", "Take it", priority=True),
    ]

    def __init__(self, title: str, text: str) -> None:
        super().__init__()
        self._title = title
        self._text = text

    def compose(self) -> ComposeResult:
        with Vertical(id="dialog"):
            yield Static(plain_text(self._title, "bold"))
            yield TextArea(plain(self._text))
            yield Static(plain_text("^g: take it, Esc: back", "dim"))

    def action_take(self) -> None:
        self.dismiss(self.query_one(TextArea).text)
