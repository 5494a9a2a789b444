"""A run's log as it grows, bounded, as plain text."""

from __future__ import annotations

from textual.widgets import RichLog

from haruon_tui.screens.history import MAX_LINES, History
from haruon_tui.screens.plain_text import one_line
from haruon_tui.screens.widgets.job_panel import log_line

_LINES_PER_SYNC = 400


class LogView(RichLog):
    """Shows the lines of one History, and adds what is new with every `sync`."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id, max_lines=MAX_LINES, wrap=True, markup=False, highlight=False)
        self._history: History | None = None
        self._written = 0
        self._output_written = False

    def show(self, history: History | None) -> None:
        """Show another run's log from its beginning."""
        if history is not self._history:
            self._history, self._written, self._output_written = history, 0, False
            self.clear()
        self.sync()

    def sync(self) -> None:
        """Write the lines that came since, a bounded number at a time."""
        if self._history is None or not self.size.width:
            return
        fresh = [line for line in self._history.lines if line.number > self._written]
        for line in fresh[:_LINES_PER_SYNC]:
            self.write(log_line(line.level, line.text))
            self._written = line.number
        if self._history.output and not self._output_written and len(fresh) <= _LINES_PER_SYNC:
            self._output_written = True
            self.write(log_line("info", "last lines of its own output:"))
            for text in self._history.output:
                self.write(log_line("info", one_line(text)))
