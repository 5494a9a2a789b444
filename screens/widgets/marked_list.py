"""A list of which several rows are marked."""

from __future__ import annotations

from typing import Any

from rich.segment import Segment
from textual.strip import Strip
from textual.widgets import SelectionList
from textual.widgets.option_list import OptionDoesNotExist

_INNER = 1
"""Which segment of a row stands in its box."""


class MarkedList(SelectionList[Any]):
    """An empty box is empty: the library tells it from a marked one by colour alone."""

    def render_line(self, y: int) -> Strip:
        line = super().render_line(y)
        try:
            row = self.get_option_at_index(self.scroll_offset.y + y)
        except OptionDoesNotExist:
            return line
        if row.value in self.selected:
            return line
        segments = list(line)
        segments[_INNER] = Segment(" ", segments[_INNER].style)
        return Strip(segments)
