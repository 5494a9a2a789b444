"""Names and values side by side, in as many columns as there is room for."""

from __future__ import annotations

from math import ceil

from rich.cells import cell_len, set_cell_size
from rich.text import Text
from textual.app import RenderResult
from textual.geometry import Size
from textual.widget import Widget

from haruon_tui.screens.plain_text import one_line

Figure = tuple[str, str]

_COLUMN_CELLS = 25


class Figures(Widget):
    """Shows figures; give it the width, it takes the height it needs."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._figures: list[Figure] = []

    def show(self, figures: list[Figure]) -> None:
        """Show these names and values."""
        grown = len(figures) != len(self._figures)
        if figures != self._figures:
            self._figures = figures
            self.refresh(layout=grown)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return ceil(len(self._figures) / _columns(width))

    def render(self) -> RenderResult:
        return figures_text(self._figures, self.size.width)


def figures_text(figures: list[Figure], width: int) -> Text:
    """The figures in columns that together fit `width` cells, read line by line."""
    columns = _columns(width)
    cells = max(1, width // columns)
    text = Text(no_wrap=True, overflow="ellipsis")
    names = max((cell_len(name) for name, _ in figures), default=0)
    for number, (name, value) in enumerate(figures):
        last = number % columns == columns - 1
        label = set_cell_size(name, names) if columns == 1 else name
        text.append(f"{label} ", style="dim")
        room = cells - cell_len(label) - 1
        shown = one_line(value)
        if not last:
            cut = cell_len(shown) > room - 1
            shown = set_cell_size(shown, room - 2) + "… " if cut else set_cell_size(shown, room)
        text.append(shown, style="bold")
        if last:
            text.append("\n")
    text.rstrip()
    return text


def _columns(width: int) -> int:
    return max(1, width // _COLUMN_CELLS)
