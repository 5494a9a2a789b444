"""One model's answer among others: its name, how it went, and the text with what differs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.widgets import Static

from haruon_tui.screens.conversation import timings
from haruon_tui.screens.plain_text import one_line, plain

if TYPE_CHECKING:
    from haruon_tui.chat.side_by_side import Column, SideBySide


class AnswerColumn(Vertical):
    """A place among the columns; which model stands there may change with every question."""

    DEFAULT_CSS = """
    AnswerColumn { width: 1fr; padding: 0 1; }
    AnswerColumn .title { height: 3; }
    AnswerColumn .answer { height: auto; }
    """

    def __init__(self, id: str) -> None:
        super().__init__(id=id)
        self._shown: tuple[object, ...] = ()

    def compose(self) -> ComposeResult:
        yield Static("", classes="title", markup=False)
        with VerticalScroll(can_focus=False):
            yield Static("", classes="answer", markup=False)

    @property
    def view(self) -> VerticalScroll:
        """What scrolls."""
        return self.query_one(VerticalScroll)

    def show(self, compared: SideBySide, column: Column, start: int | None) -> None:
        """Show the column's answer; `start` is the character where it begins to differ."""
        title, words = compared.title(column), column_words(compared, column)
        drawn = (title, words, len(column.pieces), column.over, start, compared.round)
        if drawn == self._shown:
            return
        self._shown = drawn
        named = Text(one_line(title), style="bold", no_wrap=True, overflow="ellipsis")
        named.append(f"\n{one_line(words)}", style="not bold dim")
        self.query_one(".title", Static).update(named)
        view, writing = self.view, not column.over
        at_end = view.scroll_offset.y >= view.max_scroll_y - 1
        self.query_one(".answer", Static).update(
            answer_text(column.pieces, start, writing=writing)
        )
        if writing and at_end:
            view.scroll_end(animate=False)  # an anchor would push a short answer to the bottom


def column_words(compared: SideBySide, column: Column) -> str:
    """How it went, with its timings; while names are hidden, nothing that tells which it is."""
    if column.done is None or compared.names_hidden:
        return compared.words(column)
    return timings(column.done)


def answer_text(pieces: list[str], start: int | None, *, writing: bool) -> Text:
    """The answer: what is the same in all as it is, the first token that differs reversed, what
    follows bold."""
    text = Text()
    at = 0
    for piece in pieces:
        if start is None or at + len(piece) <= start:
            style = ""
        else:
            style = "reverse" if at == start else "bold"
        # a break that is reversed would not be seen
        shown = plain(piece)
        if style == "reverse" and not shown.strip():
            shown = "␣" + shown if shown else ""
        text.append(shown, style=style)
        at += len(piece)
    if start is not None and start == at and not writing:
        text.append("(ends here)", style="reverse")
    if writing and pieces:
        text.append("▌")
    return text
