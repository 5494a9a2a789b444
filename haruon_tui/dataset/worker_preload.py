"""Imported once by the server that checking processes are forked from: what they share."""

from __future__ import annotations

import numpy  # noqa: F401 - loaded here so that it is loaded once

from haruon_tui.dataset import block_checker, duplicates, file_validation, korean  # noqa: F401

korean.load()
