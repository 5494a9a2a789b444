"""Haruon TUI: from a base checkpoint to a quantized model on a phone, in one terminal."""

__version__ = "0.1.0"
