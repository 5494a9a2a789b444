"""Text for the clipboard of the terminal at the other end: OSC 52, through tmux and SSH."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import TYPE_CHECKING

from haruon_tui import artifacts

if TYPE_CHECKING:
    from textual.app import App

FILE = Path("chat", "copied.txt")
"""Below the workspace's folder: the text also lies there, as some terminals take no OSC 52."""


def through_tmux(text: str) -> str:
    """OSC 52 wrapped for tmux, which sends it on where its option `allow-passthrough` is on."""
    coded = base64.b64encode(text.encode("utf-8", errors="replace")).decode("ascii")
    return f"\x1bPtmux;\x1b\x1b]52;c;{coded}\x07\x1b\\"


def copy(app: App[object], text: str) -> None:
    """Send it to the terminal; tmux takes the plain sequence where `set-clipboard` is on."""
    app.copy_to_clipboard(text)
    if os.environ.get("TMUX") and app._driver is not None:
        app._driver.write(through_tmux(text))


def keep(folder: Path, text: str) -> Path:
    """Write it to the workspace's file for it. Raises OSError. Touches the disk."""
    path = folder / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    artifacts.write_text(path, text.encode("utf-8", errors="replace").decode("utf-8"))
    return path
