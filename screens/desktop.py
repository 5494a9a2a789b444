"""Telling the desktop behind the terminal that a job has ended."""

from __future__ import annotations

from haruon_tui.screens.plain_text import one_line

_MAX_LENGTH = 200


def notification(text: str, *, tmux: bool) -> str:
    """The OSC 9 sequence that shows `text`; inside tmux wrapped so that it is passed on
    (where tmux allows it: set -g allow-passthrough on)."""
    sequence = f"\x1b]9;{one_line(text)[:_MAX_LENGTH]}\x07"
    if not tmux:
        return sequence
    return "\x1bPtmux;" + sequence.replace("\x1b", "\x1b\x1b") + "\x1b\\"
