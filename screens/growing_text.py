"""Text that grows while a model writes it, drawn for as little as can be: the model needs the
cores. Only lines that have changed are wrapped and painted, and the height grows by several lines
at once, as a layout of the screen costs more than the rest of a draw.
"""

from __future__ import annotations

from rich.segment import Segment
from textual.content import Content
from textual.events import Resize
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from haruon_tui.screens.plain_text import plain

_SPARE = 0.4
"""Of the lines of the screen: so many more than are needed are laid out at once."""
_CURSOR = "▌"
_WAITING = "…"


class GrowingText(Widget):
    """Text with a cursor behind it while it grows. Its words are data: markup and escape
    sequences do nothing."""

    DEFAULT_CSS = """
    GrowingText { width: 1fr; height: 1; }
    """
    ALLOW_SELECT = False

    def __init__(self) -> None:
        super().__init__()
        self._text, self._tail = "", ""
        self._lines: list[str] = []
        self._width = 0
        """For which the lines are wrapped."""
        self._settled = (0, 0)
        """Of the last line of `_text`: its first character, and its first line on the screen."""

    def show(self, text: str, *, grows: bool) -> None:
        """Show `text`; it costs little where that begins with what was shown before."""
        if not text.startswith(self._text):
            self._settled = (0, 0)
        self._text = text
        self._tail = (_CURSOR if text else _WAITING) if grows else ""
        self._show()

    def render_line(self, y: int) -> Strip:
        if self._width != self.size.width:
            self._wrap()  # painted before it has heard of its size
        style = self.rich_style
        line = Strip([Segment(self._lines[y], style)]) if y < len(self._lines) else Strip([])
        return line.adjust_cell_length(self.size.width, style)

    def on_resize(self, event: Resize) -> None:
        self._show()

    def _show(self) -> None:
        if self.size.width:
            self._paint(*self._wrap())

    def _wrap(self) -> tuple[int, list[str]]:
        """Bring the lines up to date; the first that may have changed, and what there was from
        it on."""
        width = self.size.width
        if width != self._width:
            self._width, self._settled = width, (0, 0)
        begin, first = self._settled
        before = self._lines[first:]
        del self._lines[first:]
        *whole, last = self._text[begin:].split("\n")
        for line in whole:
            self._lines += _wrapped(line, width)
            begin += len(line) + 1
        self._settled = (begin, len(self._lines))
        self._lines += _wrapped(last + self._tail, width)
        return first, before

    def _paint(self, first: int, before: list[str]) -> None:
        """Draw what has changed from line `first` on, where the lines `before` were."""
        now = self._lines[first:]
        same = next(
            (n for n, (a, b) in enumerate(zip(before, now, strict=False)) if a != b),
            min(len(before), len(now)),
        )
        if changed := max(len(before), len(now)) - same:
            self.refresh(Region(0, first + same, self.size.width, changed))
        lines, height = len(self._lines), self.size.height
        spare = int(_SPARE * self.screen.size.height) if lines > 1 else 0
        if not lines <= height <= lines + spare:
            self.styles.height = lines + spare


def _wrapped(line: str, width: int) -> list[str]:
    return [part.plain for part in Content(plain(line)).wrap(width)]
