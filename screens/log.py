"""The whole log of one run."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding
from textual.screen import ModalScreen
from textual.widgets import Static

from haruon_tui.screens.history import MAX_LINES, History
from haruon_tui.screens.plain_text import plain_text
from haruon_tui.screens.widgets.key_line import KeyLine
from haruon_tui.screens.widgets.log_view import LogView
from haruon_tui.styles import stylesheet

_SYNC_SECONDS = 0.25


class LogScreen(ModalScreen[None]):
    """Grows with the log; the last lines of a long one."""

    CSS_PATH = stylesheet("log")
    BINDINGS: ClassVar = [
        Binding("escape", "dismiss", "Back"),
        Binding("l,q", "dismiss", "Back", show=False),
    ]

    def __init__(self, history: History) -> None:
        super().__init__()
        self._history = history

    def compose(self) -> ComposeResult:
        title = f"Log of {self._history.run.id} (the last {MAX_LINES} lines)"
        yield Static(plain_text(title, "bold"), id="title")
        yield LogView(id="lines")
        yield KeyLine()

    def on_mount(self) -> None:
        view = self.query_one(LogView)
        view.focus()
        self.call_after_refresh(view.show, self._history)
        self.set_interval(_SYNC_SECONDS, view.sync)
