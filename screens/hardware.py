"""The Hardware screen: what this machine can do."""

from __future__ import annotations

from haruon_tui.screens.stage_screen import StageScreen


class HardwareScreen(StageScreen):
    """What this machine can do."""
