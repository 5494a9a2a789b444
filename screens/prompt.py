"""A question that is answered with one line of text."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from haruon_tui.screens.plain_text import plain_text
from haruon_tui.styles import stylesheet


class PromptScreen(ModalScreen[str | None]):
    """Dismisses with the text, None for Escape. A text that `allow_empty` forbids is not taken."""

    CSS_PATH = stylesheet("prompt")
    AUTO_FOCUS = "Input"
    BINDINGS: ClassVar = [Binding("escape", "dismiss(None)", "Back")]

    def __init__(
        self, question: str, hint: str = "", initial: str = "", *, allow_empty: bool = False
    ) -> None:
        super().__init__()
        self._question = question
        self._hint = hint
        self._initial = initial
        self._allow_empty = allow_empty

    def compose(self) -> ComposeResult:
        with Vertical(id="dialog"):
            yield Static(plain_text(self._question, "bold"))
            yield Input(self._initial, id="answer")
            yield Static(plain_text(f"{self._hint}  Enter: do it, Esc: back".strip(), "dim"))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        if event.value.strip() or self._allow_empty:
            self.dismiss(event.value)
