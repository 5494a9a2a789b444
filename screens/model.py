"""The Model screen: the base model and its first answer."""

from __future__ import annotations

from haruon_tui.screens.stage_screen import StageScreen


class ModelScreen(StageScreen):
    """The base model and its first answer."""
