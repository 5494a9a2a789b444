"""A program in a pseudo-terminal, timed from its start to what it shows."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pexpect


def spawn(command: list[str], folder: Path, columns: int = 120, lines: int = 40) -> pexpect.spawn:
    """Start `command` in a pseudo-terminal of that size."""
    environment = os.environ | {"TERM": "xterm-256color", "COLORTERM": "truecolor"}
    environment.pop("TMUX", None)
    return pexpect.spawn(
        command[0],
        command[1:],
        cwd=str(folder),
        env=environment,
        dimensions=(lines, columns),
        encoding="utf-8",
        timeout=60,
    )


def seconds_until(command: list[str], shown: str, folder: Path) -> float:
    """Seconds from starting `command` to `shown` in its output. The program is then ended."""
    started = time.perf_counter()
    child = spawn(command, folder)
    child.expect_exact(shown)
    seconds = time.perf_counter() - started
    child.close(force=True)
    return seconds
