"""How far a command that works in the foreground is: a bar with the time left, or plain lines."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from haruon_tui.cli import output

_PLAIN_SECONDS = 5.0
_REDRAW_SECONDS = 0.1


class Meter:
    """On a terminal a bar on stderr, in a pipe a line every five seconds, with --json nothing."""

    def __init__(self, what: str, *, quiet: bool) -> None:
        self._what, self._quiet = what, quiet
        self._bar = sys.stderr.isatty() and not quiet
        self._started = self._said = time.monotonic()
        self._phase = ""

    def __enter__(self) -> Meter:
        if self._bar:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
            from rich.progress import TimeElapsedColumn as Elapsed
            from rich.progress import TimeRemainingColumn as Remaining

            words = TextColumn("{task.description}", markup=False)
            columns = (words, BarColumn(), TaskProgressColumn(), Elapsed(), Remaining())
            self._progress = Progress(*columns, console=Console(stderr=True), transient=True)
            self._task = self._progress.add_task(self._what, total=None)
            self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar:
            self._progress.stop()

    def at(self, done: float, total: float, phase: str = "") -> None:
        """Show `done` of `total`; 0 is an unknown total."""
        now = time.monotonic()
        if phase != self._phase:
            self._phase, self._started = phase, now
        if self._quiet or now - self._said < (_REDRAW_SECONDS if self._bar else _PLAIN_SECONDS):
            return
        self._said = now
        words = f"{self._what} {phase}".strip()
        if self._bar:
            self._progress.update(
                self._task, description=words, completed=done, total=total or None
            )
            return
        left = ""
        if total and done:
            seconds = (now - self._started) / done * (total - done)
            left = f" {done / total:.0%}, {output.duration(seconds)} left"
        output.line(f"{words}:{left or f' {done:,.0f}'}", stderr=True)
