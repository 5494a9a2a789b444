"""The kept conversations, searched by what was said in them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from haruon_tui.screens.plain_text import one_line, plain_text
from haruon_tui.screens.reading import read_off_loop
from haruon_tui.styles import stylesheet

if TYPE_CHECKING:
    from haruon_tui.chat.sessions import Kept


class ChooseSessionScreen(ModalScreen[Path | None]):
    """Dismisses with the file of a conversation, None for Escape."""

    CSS_PATH = stylesheet("prompt")
    AUTO_FOCUS = "Input"
    BINDINGS: ClassVar = [
        Binding("escape", "dismiss(None)", "Back"),
        Binding("down", "move(1)", show=False, priority=True),
        Binding("up", "move(-1)", show=False, priority=True),
        Binding("pagedown", "move(10)", show=False, priority=True),
        Binding("pageup", "move(-10)", show=False, priority=True),
    ]

    def __init__(self, folder: Path) -> None:
        """`folder` is the workspace's."""
        super().__init__()
        self._folder = folder
        self._found: list[Kept] = []
        self._words = ""
        self._searching = False

    def compose(self) -> ComposeResult:
        with Vertical(id="dialog"):
            yield Static(plain_text("Conversations, the newest first", "bold"))
            yield Input(placeholder="words that were said in it")
            yield OptionList(id="choices", markup=False)
            yield Static(plain_text("Enter: go on with it, Esc: back", "dim"))

    def on_mount(self) -> None:
        self._search()

    @on(Input.Changed)
    def _typed(self) -> None:
        self._search()

    def _search(self) -> None:
        """Search for what is typed now; while a search runs, once more after it."""
        if self._searching:
            return
        from haruon_tui.chat.sessions import kept

        self._searching = True
        words, folder = self.query_one(Input).value, self._folder
        read_off_loop(self, lambda: (words, kept(folder, words)), self._show)

    def _show(self, found: tuple[str, list[Kept]]) -> None:
        self._searching = False
        self._words, self._found = found
        choices = self.query_one(OptionList)
        choices.clear_options()
        choices.add_options([Option(_line(one)) for one in self._found])
        if not self._found:
            none = "nothing was said with these words" if self._words else "none is kept yet"
            choices.add_option(Option(none, disabled=True))
        choices.highlighted = 0 if self._found else None
        if self.query_one(Input).value != self._words:
            self._search()

    def action_move(self, by: int) -> None:
        choices = self.query_one(OptionList)
        if self._found:
            at = choices.highlighted or 0
            choices.highlighted = max(0, min(len(self._found) - 1, at + by))

    @on(Input.Submitted)
    def _submitted(self) -> None:
        at = self.query_one(OptionList).highlighted
        if at is not None and at < len(self._found):
            self.dismiss(self._found[at].path)

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(self._found[event.option_index].path)


def _line(kept: Kept) -> Text:
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(kept.changed))
    text = Text(f"{when}  {kept.turns:>2}  ", "dim")
    text.append(one_line(kept.title)[:80], "not dim")
    if kept.excerpt:
        text.append(f"\n    {one_line(kept.excerpt)}", "dim")
    return text
