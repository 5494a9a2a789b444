"""The keys, from the same table as the bindings."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from haruon_tui.screens.actions import SCOPE_TITLES, Scope, actions
from haruon_tui.screens.widgets.key_line import KeyLine
from haruon_tui.styles import stylesheet

_BY_HAND = (
    ("Tab", "Move between the parts of a screen; the mouse works too"),
    ("^p", "Command palette: every action by name"),
)


def help_text(first: Scope | None = None) -> Text:
    """Every key of the table under the title of its scope, those of `first` before the others."""
    text = Text()
    scopes: list[Scope] = list(SCOPE_TITLES)  # type: ignore[arg-type]
    scopes.sort(key=lambda scope: scope != first)
    for scope in scopes:
        rows = [(action.key_name, action.title) for action in actions(scope)]
        if scope == "everywhere":
            rows += _BY_HAND
        if rows:
            text.append(f"{SCOPE_TITLES[scope]}\n", style="bold underline")
            for key, title in rows:
                text.append(f"  {key:>6}  ", style="bold")
                text.append(f"{title}\n")
            text.append("\n")
    text.append("States\n", style="bold underline")
    text.append(
        "  · to do   … queued   ▶ running   ✓ done   ✗ failed   ■ stopped\n"
        "  ~ stale: settings or inputs have changed since   ◐ some of several stages done\n"
    )
    return text


class HelpScreen(ModalScreen[None]):
    """Closed by the key that opened it."""

    CSS_PATH = stylesheet("help")
    BINDINGS: ClassVar = [
        Binding("escape", "dismiss", "Back"),
        Binding("question_mark,q", "dismiss", "Back", show=False),
    ]

    def __init__(self, first: Scope | None = None) -> None:
        super().__init__()
        self._first = first

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="keys"):
            yield Static(help_text(self._first))
        yield KeyLine()
