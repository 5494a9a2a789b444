"""The Dataset screen: the examples and what the checks found."""

from __future__ import annotations

from haruon_tui.screens.stage_screen import StageScreen


class DatasetScreen(StageScreen):
    """The examples and what the checks found."""
