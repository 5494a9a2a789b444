"""The Chat screen: the quantized model answers."""

from __future__ import annotations

from haruon_tui.screens.stage_screen import StageScreen


class ChatScreen(StageScreen):
    """The quantized model answers."""
