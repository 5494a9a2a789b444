"""A turn of a conversation: plain while it is written, as Markdown when it is done."""

from __future__ import annotations

from typing import Any

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Markdown, Static

from haruon_tui.chat.tree import Turn
from haruon_tui.screens.plain_text import one_line, plain


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
        self._lines = (-1, -1)
        self._asked = Static("", classes="asked", markup=False)
        self._plain = Static("", markup=False)
        self._markdown = Markdown("", parser_factory=_parser, open_links=False)
        self._markdown.display = False
        self._note = Static("", classes="note", markup=False)

    def compose(self) -> ComposeResult:
        yield self._asked
        yield self._plain
        yield self._markdown
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
        self._show_plain(_answer(turn))
        as_markdown = bool(turn.answer) and not turn.open and not self._raw
        if as_markdown:
            self.run_worker(self._show_markdown(plain(turn.answer)), exclusive=True)
        else:
            self._markdown.display, self._plain.display = False, True

    def _show_plain(self, text: Text) -> None:
        """The screen is only laid out anew where the text takes other lines, which costs more than
        the rest of a draw."""
        last = text.plain[text.plain.rfind("\n") + 1 :]
        lines = text.plain.count("\n"), Content(last).get_height({}, self._plain.size.width or 1)
        self._plain.update(text, layout=lines != self._lines)
        self._lines = lines

    async def _show_markdown(self, text: str) -> None:
        """The plain text stays until this is laid out."""
        await self._markdown.update(text)
        self._markdown.display, self._plain.display = True, False


def _question(turn: Turn, place: str) -> Text:
    text = Text("the pipeline asked" if turn.quoted else "you", style="bold")
    text.append(f"  {place}\n" if place else "\n", "not bold dim")
    text.append(f"{plain(turn.prompt)}\n\n", "not bold")
    text.append(one_line(turn.model))
    return text


def _answer(turn: Turn) -> Text:
    text = Text(plain(turn.answer))
    if turn.open:
        text.append("▌" if turn.answer else "…")
    return text
