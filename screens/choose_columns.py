"""A list of the comparison's columns, with what each means, to mark those that are shown."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Static
from textual.widgets.selection_list import Selection

from haruon_tui.screens.plain_text import plain_text
from haruon_tui.screens.widgets.marked_list import MarkedList
from haruon_tui.styles import stylesheet

if TYPE_CHECKING:
    from haruon_tui.comparison.columns import Column


class ChooseColumnsScreen(ModalScreen[frozenset[str] | None]):
    """Dismisses with the keys of the marked columns, None for Escape."""

    CSS_PATH = stylesheet("gguf")
    AUTO_FOCUS = "SelectionList"
    BINDINGS: ClassVar = [
        Binding("escape", "dismiss(None)", "Back"),
        Binding("enter", "take", "Take them", priority=True),
    ]

    def __init__(self, columns: Sequence[Column], shown: Collection[str]) -> None:
        super().__init__()
        self._columns = columns
        self._shown = shown

    def compose(self) -> ComposeResult:
        with Vertical(id="dialog"):
            yield Static(plain_text("Columns of the table", "bold"))
            yield MarkedList(
                *(
                    Selection(Text(f"{one.title:<10} {one.help}"), one.key, one.key in self._shown)
                    for one in self._columns
                ),
                id="columns",
            )
            yield Static(plain_text("Space: show or hide, Enter: take them, Esc: back", "dim"))

    def action_take(self) -> None:
        self.dismiss(frozenset(self.query_one(MarkedList).selected))
