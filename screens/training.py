"""The Train screen: the fine-tuning."""

from __future__ import annotations

from haruon_tui.screens.stage_screen import StageScreen


class TrainingScreen(StageScreen):
    """The fine-tuning."""
