"""A list to choose one thing from, narrowed by typing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from haruon_tui.screens.plain_text import plain, plain_text
from haruon_tui.styles import stylesheet

Choice = tuple[str, str]
"""What is returned, and how it is shown."""


class PickScreen(ModalScreen[str | None]):
    """Dismisses with the first part of a choice, None for Escape; with `free`, what was typed
    where nothing fits it."""

    CSS_PATH = stylesheet("prompt")
    AUTO_FOCUS = "Input"
    BINDINGS: ClassVar = [
        Binding("escape", "dismiss(None)", "Back"),
        Binding("down", "move(1)", show=False, priority=True),
        Binding("up", "move(-1)", show=False, priority=True),
        Binding("pagedown", "move(10)", show=False, priority=True),
        Binding("pageup", "move(-10)", show=False, priority=True),
    ]

    def __init__(
        self, title: str, choices: Sequence[Choice], hint: str = "", *, free: bool = False
    ) -> None:
        super().__init__()
        self._title = title
        self._choices = choices
        self._hint = hint
        self._free = free
        self._shown: list[Choice] = []

    def compose(self) -> ComposeResult:
        with Vertical(id="dialog"):
            yield Static(plain_text(self._title, "bold"))
            yield Input(placeholder="a path, or a few letters" if self._free else "a few letters")
            yield OptionList(id="choices", markup=False)
            yield Static(plain_text(f"{self._hint}  Enter: take it, Esc: back".strip(), "dim"))

    def on_mount(self) -> None:
        self._narrow("")

    @property
    def _list(self) -> OptionList:
        return self.query_one(OptionList)

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        self._narrow(event.value)

    def _narrow(self, typed: str) -> None:
        words = typed.lower().split()
        self._shown = [
            choice for choice in self._choices if all(word in choice[1].lower() for word in words)
        ]
        self._list.clear_options()
        shown = [plain(label).replace("\n", " ") for _, label in self._shown]
        self._list.add_options([Option(Text(label)) for label in shown])
        if not self._shown and not self._free:
            self._list.add_option(Option("nothing fits; take letters away", disabled=True))
        self._list.highlighted = 0 if self._shown else None

    def action_move(self, by: int) -> None:
        if self._shown:
            at = self._list.highlighted or 0
            self._list.highlighted = max(0, min(len(self._shown) - 1, at + by))

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        at = self._list.highlighted
        if self._free and event.value.strip() and (not self._shown or "/" in event.value):
            self.dismiss(event.value.strip())
        elif at is not None and at < len(self._shown):
            self.dismiss(self._shown[at][0])

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(self._shown[event.option_index][0])
