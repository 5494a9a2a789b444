"""An error in its four parts."""

from __future__ import annotations

from rich.text import Text
from textual.widgets import Static

from haruon_tui.screens.plain_text import plain


def error_text(error: dict[str, str]) -> Text:
    """What was wrong, where, what was expected and what to do, each on a line of its own."""
    text = Text(f"✗ {plain(error.get('what', 'unknown error'))}", style="bold")
    for key, label in (("where", "where"), ("expected", "expected"), ("do", "do this")):
        if value := error.get(key):
            text.append(f"\n  {label + ':':<10}", style="not bold dim")
            text.append(plain(value), style="not bold")
    return text


class ErrorPanel(Static):
    """Visible only while there is an error."""

    def show(self, error: dict[str, str] | None) -> None:
        self.display = error is not None
        if error is not None:
            self.update(error_text(error))
