"""The monitor: the machine and this workspace's jobs, now and over the last minutes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, ClassVar

from rich.cells import cell_len, set_cell_size
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Static

from haruon_tui.screens.history import History, duration, size
from haruon_tui.screens.load import KEPT, SECONDS
from haruon_tui.screens.plain_text import one_line
from haruon_tui.screens.stage_states import stage_title
from haruon_tui.screens.widgets.key_line import KeyLine
from haruon_tui.screens.widgets.monitor_rows import full_rows, spread
from haruon_tui.screens.widgets.monitor_strip import lines, sparkline
from haruon_tui.styles import stylesheet

if TYPE_CHECKING:
    from haruon_tui.screens.session import Session

SPANS = (60.0, 300.0, 900.0, KEPT * SECONDS)
"""Seconds that the pictures reach back."""

_WORDS_CELLS = 52  # name, meter and words of the widest row at 80 columns
_JOB_COLUMNS = (("job", 26), ("CPU", 7), ("memory", 10), ("GPU memory", 11), ("time", 9))


class MonitorScreen(Screen[None]):
    """Opened by `m` from everywhere. A job's samples come from its own log, so they reach back to
    before this program was started."""

    CSS_PATH = stylesheet("monitor")
    covers = True
    BINDINGS: ClassVar = [
        Binding("escape", "dismiss", "Back"),
        Binding("m,q", "dismiss", "Back", show=False),
        Binding("minus", "span(1)", "Longer", key_display="-"),
        Binding("plus", "span(-1)", "Shorter", key_display="+"),
        Binding("equals_sign", "span(-1)", "Shorter", show=False),
    ]

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self._span = 1
        # Held, not queried: a sample or a new size may still come when they are taken down.
        self._title = Static("", id="title", markup=False)
        self._machine = Static("", id="machine", markup=False)
        self._jobs = Static("", id="jobs", markup=False)
        self._heights: dict[Static, tuple[int, int]] = {}

    def compose(self) -> ComposeResult:
        yield self._title
        with VerticalScroll(id="all"):
            yield self._machine
            yield self._jobs
        yield KeyLine()

    def on_mount(self) -> None:
        self._session.load.detail = True
        self.query_one("#all").focus()
        self.call_after_refresh(self.load_sampled)

    def on_unmount(self) -> None:
        self._session.load.detail = False

    def on_resize(self) -> None:
        self.load_sampled()

    def load_sampled(self) -> None:
        """There is a newer sample."""
        seconds = SPANS[self._span]
        words = f"Monitor: the last {duration(seconds)}, a sample every {SECONDS:g} s"
        self._title.update(words, layout=False)
        samples = list(self._session.load.samples)
        if not samples:
            self._machine.update("Looking at the machine …")
            return
        room = max(20, self.size.width - 4)
        since = samples[-1].time - seconds
        shown = [sample for sample in samples if sample.time >= since]
        cells = max(10, room - _WORDS_CELLS)
        self._draw(self._machine, lines(full_rows(shown, seconds, cells), room))
        jobs = [history for history in self._session.running() if history.resources]
        self._draw(self._jobs, job_table(jobs, time.time(), seconds, room))

    def _draw(self, where: Static, content: Content) -> None:
        """A new layout of the screen costs more than the drawing: only for another height."""
        room = max(1, self.size.width - 4)
        height = sum(max(1, -(-cell_len(line) // room)) for line in content.plain.split("\n"))
        layout = self._heights.get(where) != (height, self.size.width)
        self._heights[where] = (height, self.size.width)
        where.update(content, layout=layout)

    def action_span(self, step: int) -> None:
        self._span = max(0, min(len(SPANS) - 1, self._span + step))
        self.load_sampled()


def job_table(jobs: list[History], now: float, seconds: float, room: int) -> Content:
    """The processes of running jobs: load where 100 % is one core, resident and GPU memory, and
    a picture of the resident memory over the last `seconds`."""
    spans: list[tuple[str, str]] = [("\nOur jobs", "bold")]
    if not jobs:
        spans.append(("\nNone is running: R runs every stage.", ""))
        return Content.assemble(*spans)
    head = "".join(set_cell_size(name, cells) for name, cells in _JOB_COLUMNS)
    spans.append((f"\n{head}", "bold"))
    picture = max(0, room - cell_len(head) - 2)
    for history in jobs:
        newest = history.resources
        identity = history.status.identity if history.status else None
        started = identity.started if identity else now
        words = (
            f"{stage_title(history.stage)} {one_line(history.run.id)[-4:]}",
            f"{newest.get('cpu_percent', 0):.0f} %",
            size(newest.get("rss_bytes", 0)),
            size(newest["gpu_bytes"]) if newest.get("gpu_bytes") is not None else "–",
            duration(now - started),
        )
        widths = [cells for _, cells in _JOB_COLUMNS]
        line = "".join(map(set_cell_size, words, widths))
        past = spread([*history.memory], now - seconds, now, picture)
        most = max((value for value in past if value is not None), default=0.0)
        scaled = [None if value is None or not most else 100 * value / most for value in past]
        spans += [("\n" + line, ""), (sparkline(scaled, picture), "$text-primary")]
    return Content.assemble(*spans)
