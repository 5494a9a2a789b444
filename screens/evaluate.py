"""The Evaluate screen: merging, and base against tuned."""

from __future__ import annotations

from haruon_tui.screens.stage_screen import StageScreen


class EvaluateScreen(StageScreen):
    """Merging, and base against tuned."""
