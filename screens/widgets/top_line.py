"""The first line: which workspace this is, and the load of the machine."""

from __future__ import annotations

from pathlib import Path

from rich.cells import cell_len
from rich.text import Text
from textual.app import RenderResult
from textual.widget import Widget

from haruon_tui.screens.plain_text import plain
from haruon_tui.screens.session import Session
from haruon_tui.screens.widgets.load_strip import load_words

_LEAST_PATH = 12
"""Cells that the folder keeps beside the load."""


class TopLine(Widget):
    """Name of the program, folder, profile, whether it only watches, and the newest load."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session

    def render(self) -> RenderResult:
        profile = self._session.overview.profile
        right = f"  profile {profile}" if profile else ""
        if self._session.read_only:
            right += "  read-only"
        line = Text("haruon", style="bold", no_wrap=True)
        samples = self._session.load.samples
        room = self.size.width - len("haruon  ") - cell_len(right)
        load = load_words(samples[-1], room - _LEAST_PATH - 2) if samples else ""
        folder = _shortened(self._session.workspace.folder, room - (len(load) + 2 if load else 0))
        line.append(f"  {folder}{right}")
        line.append(load.rjust(self.size.width - line.cell_len))
        return line


def _shortened(path: Path, room: int) -> str:
    """The path with ~ for the home folder; when it is too long, its end."""
    shown = plain(path)
    home = str(Path.home())
    if home != "/" and (shown == home or shown.startswith(f"{home}/")):
        shown = "~" + shown[len(home) :]
    while shown and cell_len(shown) > max(room, 1):
        shown = "…" + shown[2:]
    return shown
