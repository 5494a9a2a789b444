"""The bar with the stages of the guide, each with its key, name and state."""

from __future__ import annotations

from itertools import accumulate

from rich.cells import cell_len, set_cell_size
from textual import events
from textual.app import RenderResult
from textual.content import Content
from textual.widget import Widget

from haruon_tui.screens.actions import MODES, Mode
from haruon_tui.screens.session import Session
from haruon_tui.screens.stage_states import COLOURS, mode_state


class StageBar(Widget):
    """All modes beside each other, names above states; they fit 80 columns. A click goes there.

    One widget and not one per mode: nine screens have it, and each widget costs the first frame.
    """

    def __init__(self, session: Session, here: str) -> None:
        super().__init__()
        self._session = session
        self._here = here

    def render(self) -> RenderResult:
        names, states = [], []
        for mode, cells in zip(MODES, _widths(self.size.width), strict=True):
            state = mode_state(self._session, mode)
            label = state.text if cell_len(state.text) <= cells else state.short
            colour = COLOURS.get(state.name, "$foreground")
            here = "bold reverse" if mode.name == self._here else "$foreground"
            names += [(set_cell_size(f"{mode.key} {mode.title}", cells), here), (" ", "")]
            states += [(set_cell_size(label, cells), colour), (" ", "")]
        return Content.assemble(*names, ("\n", ""), *states)

    def on_click(self, event: events.Click) -> None:
        ends = accumulate(cells + 1 for cells in _widths(self.size.width))
        for mode, end in zip(MODES, ends, strict=True):
            if event.x < end:
                self.app.switch_mode(mode.name)
                return


def _widths(room: int) -> list[int]:
    """Cells of each mode, without the gap after it: name and longest short state at least."""
    widths = [_least(mode) for mode in MODES]
    spare = (room - sum(widths) - len(widths)) // len(widths)
    return [cells + min(max(spare, 0), 12) for cells in widths]


def _least(mode: Mode) -> int:
    return max(len(mode.title) + 2, 7 if mode.stages else 6)
