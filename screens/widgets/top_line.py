"""The first line: which workspace this is."""

from __future__ import annotations

from pathlib import Path

from rich.cells import cell_len
from rich.text import Text
from textual.app import RenderResult
from textual.widget import Widget

from haruon_tui.screens.plain_text import plain
from haruon_tui.screens.session import Session


class TopLine(Widget):
    """Name of the program, folder, profile, and whether it only watches."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session

    def render(self) -> RenderResult:
        profile = self._session.overview.profile
        right = f"  profile {profile}" if profile else ""
        if self._session.read_only:
            right += "  read-only"
        line = Text("haruon", style="bold", no_wrap=True)
        room = self.size.width - len("haruon  ") - cell_len(right)
        line.append("  " + _shortened(self._session.workspace.folder, room))
        line.append(right)
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
