"""A job at a glance: state, progress, time left, error, last lines of its log."""

from __future__ import annotations

import time

from rich.text import Text
from textual.app import RenderResult
from textual.widget import Widget

from haruon_tui.screens.engine import ended
from haruon_tui.screens.history import History, duration, size
from haruon_tui.screens.plain_text import one_line, plain
from haruon_tui.screens.stage_states import SYMBOLS, stage_title
from haruon_tui.screens.widgets.error_panel import error_text

_BAR_CELLS = 24


class JobPanel(Widget):
    """Shows one run; as many log lines as there is room for."""

    history: History | None = None
    empty = "No job yet."

    def show(self, history: History | None, empty: str = "No job yet.") -> None:
        """Show this run, or the words for none."""
        self.history, self.empty = history, empty
        self.refresh()

    def tick(self) -> None:
        """A second has passed: the times of a job that runs move."""
        if self.history is not None and self.history.active:
            self.refresh()

    def render(self) -> RenderResult:
        if self.history is None or self.history.status is None:
            return Text(self.empty)
        cells = self.size.width
        lines = _head(self.history, time.time(), cells)
        room = self.size.height - len(lines)
        if room > 0:
            lines += [_cropped(line, cells) for line in _log(self.history, room)]
        return Text("\n").join(lines)


def progress_bar(fraction: float, cells: int = _BAR_CELLS) -> str:
    """A bar that can be read without colour."""
    filled = round(max(0.0, min(1.0, fraction)) * cells)
    return "█" * filled + "░" * (cells - filled)


def _cropped(line: Text, cells: int) -> Text:
    line.truncate(max(1, cells), overflow="ellipsis")
    return line


def _head(history: History, now: float, cells: int) -> list[Text]:
    """The lines above the log. Only words that must be read whole are wrapped."""
    status = history.status
    assert status is not None
    title = Text(f"{SYMBOLS[status.state]} {status.state}", style="bold")
    title.append(f"  {stage_title(history.stage)}", style="bold")
    title.append(f"  {plain(history.run.id)}", style="not bold")
    if status.attempt > 1:
        title.append(f"  attempt {status.attempt}", style="not bold")
    title.append(_times(history, now), style="not bold")
    lines = [title]
    if status.waits_for:
        lines.append(Text(one_line(status.waits_for)))
    if status.progress and (status.state.active or status.state != "finished"):
        lines.append(_cropped(Text(_progress(history, now)), cells))
    if facts := _facts(history):
        lines.append(_cropped(Text(facts), cells))
    if status.error:
        lines += error_text(status.error).split("\n")
    elif status.result and status.result.get("summary"):
        lines.append(Text(one_line(status.result["summary"]), style="bold"))
    return lines


def _times(history: History, now: float) -> str:
    status = history.status
    assert status is not None
    if status.identity is None:
        return ""
    end = ended(status) or now
    return f"  {duration(end - status.identity.started)}"


def _progress(history: History, now: float) -> str:
    assert history.status is not None
    assert history.status.progress is not None
    progress = history.status.progress
    words = [f"{progress_bar(progress.fraction)} {progress.fraction:4.0%}"]
    if progress.phase:
        words.append(one_line(progress.phase))
    if progress.unit:
        words.append(f"{progress.done:g}/{progress.total:g} {one_line(progress.unit)}")
    left = history.remaining(now)
    if left is not None:
        words.append(f"{duration(left)} left")
    return "  ".join(words)


def _facts(history: History) -> str:
    words = []
    if history.points:
        words.append(f"metric points: {history.points}")
        words += [
            f"{one_line(name)} {value:.4g}"
            for name in history.curves.names[:3]
            if (value := history.curves.last(name)) is not None
        ]
    if history.active and history.resources:
        words.append(f"{history.resources.get('cpu_percent', 0):.0f} % CPU")
        words.append(size(history.resources.get("rss_bytes", 0)))
    return "  ".join(words)


def _log(history: History, room: int) -> list[Text]:
    if history.output:
        said = [Text(f"  {one_line(line)}") for line in history.output if line.strip()]
        return [Text("last lines of its output (l shows all):"), *said[-(room - 1) :]][:room]
    last = list(history.lines)[-room:]
    return [log_line(line.level, line.text) for line in last]


def log_line(level: str, text: str) -> Text:
    """One line of a log; what is no plain information says so in words."""
    mark = "" if level == "info" else f"{level}: "
    return Text(f"  {mark}{text}", style="bold" if level == "error" else "")
