"""The table of records: draws the lines that are seen, and asks for rows as they are needed."""

from __future__ import annotations

from typing import Any, ClassVar

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from haruon_tui.dataset.persona import TRAITS
from haruon_tui.screens.plain_text import one_line

PAGE = 64
_MAX_PAGES = 15
"""So many pages of rows are held, 960 rows; the others are asked for again."""

SYMBOLS = {
    "unchecked": "·",
    "good": "✓",
    "warnings": "!",
    "errors": "✗",
    "unreadable": "?",
    "blank": " ",
}
DECIDED = {"accept": "A", "reject": "R"}

Row = dict[str, Any]


class RecordTable(ScrollView, can_focus=True):
    """Rows by position. `begin` empties it, `put` takes rows; it posts `Wanted` and `Chosen`."""

    COMPONENT_CLASSES: ClassVar = {
        "record-table--head",
        "record-table--cursor",
        "record-table--dim",
        "record-table--good",
        "record-table--warnings",
        "record-table--errors",
    }
    BINDINGS: ClassVar = [
        Binding("up,k", "step(-1)", show=False),
        Binding("down,j", "step(1)", show=False),
        Binding("pageup", "page(-1)", show=False),
        Binding("pagedown,space", "page(1)", show=False),
        Binding("home", "go(0)", show=False),
        Binding("end", "go(-1)", show=False),
    ]

    class Wanted(Message):
        """Rows at these positions are on the screen and not known."""

        def __init__(self, first: int, count: int) -> None:
            super().__init__()
            self.first = first
            self.count = count

    class Chosen(Message):
        """The cursor is on another row, or the row under it has come. `line` is None while it is
        not known."""

        def __init__(self, position: int, line: int | None) -> None:
            super().__init__()
            self.position = position
            self.line = line

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.total = 0
        self.cursor = 0
        self.exact_tokens = False
        self.follows = False
        """Whether the cursor stays on the last row when more come, as after End."""
        self._pages: dict[int, list[Row]] = {}
        self._asked: set[int] = set()
        self._digits = 5

    # What is shown

    def begin(self, total: int, cursor: int = 0) -> None:
        """Other rows from now on: `total` of them, none known."""
        self._pages.clear()
        self._asked.clear()
        self.follows = False
        self.set_total(total)
        self.move_to(cursor)

    def set_total(self, total: int) -> None:
        """There are so many rows now; those known stay."""
        page, rest = divmod(self.total, PAGE)
        if total > self.total and rest:
            self._pages.pop(page, None)  # it has grown
            self._asked.discard(page)
        self.total = total
        self._digits = max(5, len(str(total)))
        self.virtual_size = Size(self.size.width, total)
        if self.cursor >= total or (self.follows and total):
            self.move_to(total - 1)
        self.refresh()

    def put(self, first: int, rows: list[Row]) -> None:
        """Take rows that start at a position divisible by PAGE."""
        page = first // PAGE
        self._asked.discard(page)
        if not rows:
            return
        self._pages.pop(page, None)
        self._pages[page] = rows
        while len(self._pages) > _MAX_PAGES:
            del self._pages[next(iter(self._pages))]
        if page == self.cursor // PAGE:
            self._tell()
        self.refresh()

    def ask_again(self) -> None:
        """Ask for the pages on the screen once more: their rows may say more by now."""
        for page in self._visible_pages():
            if any(_is_open(row) for row in self._pages.get(page, ())):
                self._want(page)

    def row(self, position: int) -> Row | None:
        """The row at a position, None where it is not known."""
        page, place = divmod(position, PAGE)
        rows = self._pages.get(page, [])
        return rows[place] if place < len(rows) else None

    @property
    def held(self) -> int:
        """How many rows it holds."""
        return sum(map(len, self._pages.values()))

    def move_to(self, position: int, *, center: bool = False) -> None:
        """Put the cursor there and show it."""
        self.cursor = max(0, min(position, self.total - 1))
        row = Region(0, self.cursor, 1, 1)
        self.scroll_to_region(row, animate=False, force=True, x_axis=False, center=center)
        self._tell()
        self.refresh()

    def jump_to(self, position: int) -> None:
        """The same; a row that is not on the screen comes to its middle, with those around it."""
        top = self.scroll_offset.y
        self.move_to(position, center=not top <= position < top + self.size.height)

    # Keys and mouse

    def action_step(self, by: int) -> None:
        self.follows = False
        self.move_to(self.cursor + by)

    def action_page(self, by: int) -> None:
        self.follows = False
        self.move_to(self.cursor + by * max(1, self.size.height - 1))

    def action_go(self, position: int) -> None:
        self.follows = position < 0
        self.move_to(position if position >= 0 else self.total - 1)

    def on_click(self, event: events.Click) -> None:
        position = self.scroll_offset.y + event.y
        if position < self.total:
            self.follows = False
            self.move_to(position)

    # Drawing

    def render_line(self, y: int) -> Strip:
        position = self.scroll_offset.y + y
        width = self.size.width
        if position >= self.total:
            return Strip.blank(width, self.rich_style)
        row = self.row(position)
        base = self.rich_style
        if position == self.cursor:
            base = base + self.get_component_rich_style("record-table--cursor", partial=True)
            if self.has_focus:
                base = base + Style(bold=True)
        if row is None:
            self._want(position // PAGE)
            waiting = set_cell_size(f"{'…':>{self._digits}}", width)
            return Strip([Segment(waiting, base)], width)
        return Strip(self._segments(row, base), None).adjust_cell_length(width, base)

    def head(self) -> str:
        """The titles over the columns."""
        traits = "".join(f"{trait.korean[0]} " for trait in TRAITS)
        tokens = "tokens" if self.exact_tokens else "~tok"
        return f"{'line':>{self._digits}}    {traits}{tokens:>6}  first words"

    def _segments(self, row: Row, base: Style) -> list[Segment]:
        verdict = row.get("verdict") or "unchecked"
        colour = base
        if verdict in ("good", "warnings", "errors", "unreadable"):
            name = "errors" if verdict == "unreadable" else verdict
            colour = base + self.get_component_rich_style(f"record-table--{name}", partial=True)
        dim = base + self.get_component_rich_style("record-table--dim", partial=True)
        decided = DECIDED.get(row.get("decision", ""), " ")
        levels = "".join(f"{level or '-':>2} " for level in row["levels"])
        tokens = row.get("tokens", -1)
        words = one_line(row["words"])
        segments = [
            Segment(f"{row['line'] + 1:>{self._digits}}", dim),
            Segment(f" {SYMBOLS[verdict]}", colour),
            Segment(f"{decided}{'*' if row.get('edited') else ' '}", base),
            Segment(levels, base),
            Segment(f"{tokens if tokens >= 0 else '':>6}  ", dim),
        ]
        if row["bad"]:
            segments.append(Segment(f"{one_line(row['bad'])}  ", colour))
        room = self.size.width - sum(cell_len(segment.text) for segment in segments)
        if cell_len(words) > room:
            words = set_cell_size(words, max(0, room - 1)) + "…"
        return [*segments, Segment(words, base)]

    def on_resize(self) -> None:
        self.virtual_size = Size(self.size.width, self.total)

    def watch_has_focus(self, _has_focus: bool) -> None:
        self.refresh()

    def _visible_pages(self) -> range:
        first = self.scroll_offset.y // PAGE
        last = min(self.total - 1, self.scroll_offset.y + self.size.height) // PAGE
        return range(first, last + 1)

    def _want(self, page: int) -> None:
        if page not in self._asked:
            self._asked.add(page)
            self.post_message(self.Wanted(page * PAGE, PAGE))

    def _tell(self) -> None:
        row = self.row(self.cursor)
        self.post_message(self.Chosen(self.cursor, row["line"] if row else None))


def _is_open(row: Row) -> bool:
    """Whether a check may still say more; rows read before the reader has started say nothing."""
    return bool(row.get("verdict", "unchecked") == "unchecked")
