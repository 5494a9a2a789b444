"""A list of earlier runs to mark, for the charts and the comparison."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Static
from textual.widgets.selection_list import Selection

from haruon_tui.screens.plain_text import one_line, plain_text
from haruon_tui.screens.widgets.marked_list import MarkedList
from haruon_tui.styles import stylesheet

if TYPE_CHECKING:
    from haruon_tui.screens.engine import RunRow


class ChooseRunsScreen(ModalScreen[list[str] | None]):
    """Dismisses with the ids of the marked runs, None for Escape."""

    CSS_PATH = stylesheet("choose_runs")
    AUTO_FOCUS = "SelectionList"
    BINDINGS: ClassVar = [
        Binding("escape", "dismiss(None)", "Back"),
        Binding("enter", "take", "Take them", priority=True),
    ]

    def __init__(self, rows: Sequence[RunRow], chosen: Sequence[str], most: int) -> None:
        super().__init__()
        self._rows = rows
        self._chosen = chosen
        self._most = most

    def compose(self) -> ComposeResult:
        with Vertical(id="dialog"):
            yield Static(plain_text(f"Earlier runs to see beside this one, at most {self._most}"))
            yield MarkedList(
                *(
                    Selection(Text(run_title(row)), row.run.id, row.run.id in self._chosen)
                    for row in self._rows
                ),
                id="choices",
            )
            yield Static(plain_text("Space: mark, Enter: take them, Esc: back", "dim"))

    def action_take(self) -> None:
        marked = set(self.query_one(MarkedList).selected)
        self.dismiss([row.run.id for row in self._rows if row.run.id in marked][: self._most])


def run_title(row: RunRow) -> str:
    """A run in one line: its last letters, when it was, its state and its result."""
    at = datetime.fromtimestamp(row.created).strftime("%m-%d %H:%M")
    result = row.status.result or {}
    said = one_line(result.get("summary", ""))
    return f"{row.run.id[-4:]}  {at}  {row.status.state}  {said}".rstrip()
