"""The models to set side by side: marked in a list, or typed as a path or an address."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Static
from textual.widgets.selection_list import Selection

from haruon_tui.screens.plain_text import one_line, plain_text
from haruon_tui.screens.reading import read_off_loop
from haruon_tui.screens.widgets.marked_list import MarkedList
from haruon_tui.styles import stylesheet

if TYPE_CHECKING:
    from haruon_tui.chat.models import Model


class ChooseModelsScreen(ModalScreen[list["Model"] | None]):
    """Dismisses with the marked models, in the order of the list; None for Escape."""

    CSS_PATH = stylesheet("choose_models")
    AUTO_FOCUS = "#models"
    BINDINGS: ClassVar = [
        Binding("escape", "dismiss(None)", "Back"),
        Binding("enter", "take", "Take them", priority=True),
    ]

    def __init__(self, models: Sequence[Model], chosen: Sequence[Model], most: int) -> None:
        super().__init__()
        self._models = [*models, *(model for model in chosen if model not in models)]
        self._chosen = chosen
        self._most = most

    def compose(self) -> ComposeResult:
        with Vertical(id="dialog"):
            yield Static(plain_text(f"2 to {self._most} models, on the same question", "bold"))
            yield MarkedList(id="models")
            yield Input(placeholder="or a path, or http://…/v1", id="typed", compact=True)
            yield Static(plain_text("Space: mark   Enter: take them   Esc: back", "dim"))

    def on_mount(self) -> None:
        self._list(self._chosen)

    @property
    def _selection(self) -> MarkedList:
        return self.query_one("#models", MarkedList)

    def _list(self, marked: Sequence[Model]) -> None:
        from haruon_tui.chat.models import names_of

        names = names_of(self._models)
        self._selection.clear_options()
        self._selection.add_options(
            Selection(Text(one_line(name)), number, self._models[number] in marked)
            for number, name in enumerate(names)
        )
        self._selection.highlighted = 0 if names else None

    def _marked(self) -> list[Model]:
        return [self._models[number] for number in sorted(self._selection.selected)]

    def action_take(self) -> None:
        if typed := self.query_one("#typed", Input).value.strip():
            from haruon_tui.chat.models import parse

            read_off_loop(self, lambda: parse(typed), self._add)
            return
        marked = self._marked()
        if not 2 <= len(marked) <= self._most:
            self.notify(f"Mark 2 to {self._most} models.", severity="warning")
        else:
            self.dismiss(marked)

    def _add(self, model: Model) -> None:
        """Put what was typed into the list, marked."""
        marked = [*self._marked(), model]
        if model not in self._models:
            self._models.append(model)
        self.query_one("#typed", Input).value = ""
        self._list(marked)
        self._selection.focus()
