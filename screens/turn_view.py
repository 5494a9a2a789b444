"""A turn of a conversation: plain while it is written, as Markdown when it is done."""

from __future__ import annotations

from typing import Any

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widget import Widget
from textual.widgets import Markdown, Static

from haruon_tui.chat.tree import Turn
from haruon_tui.screens.growing_text import GrowingText
from haruon_tui.screens.plain_text import one_line, plain, plain_text


def _parser() -> Any:
    """CommonMark with tables; HTML and bare addresses are text, as a model's words are data. A
    line break stays one: reports and poems have lines that Markdown would join."""
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    parser.core.ruler.push("line_breaks", _keep_line_breaks)
    return parser


def _keep_line_breaks(state: Any) -> None:
    for token in state.tokens:
        for child in token.children or ():
            if child.type == "softbreak":
                child.type, child.tag = "hardbreak", "br"


class TurnView(Vertical):
    """The question, the answer so far, and how it went."""

    def __init__(self, turn: Turn) -> None:
        super().__init__()
        self.turn = turn
        self._place, self._raw = "", False
        self._shown: tuple[object, ...] = ()
        self._asked = Static("", classes="asked", markup=False)
        self._growing = GrowingText()
        self._plain: Static | None = None
        self._markdown: Markdown | None = None
        """Both are made when they are first needed: a question must be on screen at once."""
        self._note = Static("", classes="note", markup=False)

    def compose(self) -> ComposeResult:
        yield self._asked
        yield self._growing
        yield self._note

    def on_mount(self) -> None:
        self._render_turn()

    def show(self, turn: Turn, place: str, *, raw: bool, selected: bool) -> None:
        """Show this turn, if anything of it is other than what is shown. `place` says which of
        several branches it is."""
        self.turn, self._place, self._raw = turn, place, raw
        self.set_class(selected, "-selected")
        if self.is_mounted:
            self._render_turn()

    def _render_turn(self) -> None:
        turn = self.turn
        mark = (id(turn), len(turn.answer), turn.open, turn.note, self._place, self._raw)
        if mark == self._shown:
            return
        if (mark[:1], mark[2:]) != (self._shown[:1], self._shown[2:]):
            self._asked.update(_question(turn, self._place))
            self._note.update(f"[{one_line(turn.note)}]" if turn.note else "")
            self._note.display = bool(turn.note)
        self._shown = mark
        if turn.open:
            self._growing.show(turn.answer, grows=True)
            self._show_only(self._growing)
        elif turn.answer and not self._raw:
            self._growing.show(turn.answer, grows=False)
            self.run_worker(self._show_markdown(plain(turn.answer)), exclusive=True)
        else:
            if self._plain is None:
                self._plain = Static("", markup=False)
                self.mount(self._plain, before=self._note)
            self._plain.update(plain_text(turn.answer))
            self._show_only(self._plain)

    def _show_only(self, widget: Widget) -> None:
        for one in (self._growing, self._plain, self._markdown):
            if one is not None:
                one.display = one is widget

    async def _show_markdown(self, text: str) -> None:
        """What is shown stays until this is laid out."""
        shown = self._shown
        if self._markdown is None:
            self._markdown = Markdown("", parser_factory=_parser, open_links=False)
            self._markdown.display = False
            await self.mount(self._markdown, before=self._note)
        await self._markdown.update(text)
        if self._shown == shown:
            self._show_only(self._markdown)


def _question(turn: Turn, place: str) -> Text:
    text = Text("the pipeline asked" if turn.quoted else "you", style="bold")
    text.append(f"  {place}\n" if place else "\n", "not bold dim")
    text.append(f"{plain(turn.prompt)}\n\n", "not bold")
    text.append(one_line(turn.model))
    return text
