"""The GGUF screen: conversion, quantization and comparison."""

from __future__ import annotations

from haruon_tui.screens.stage_screen import StageScreen


class GgufScreen(StageScreen):
    """Conversion, quantization and comparison."""
