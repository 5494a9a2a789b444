"""What a running job uses of the machine: processor, memory and GPUs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from textual.widgets import Static

from haruon_tui.screens.history import size
from haruon_tui.screens.plain_text import one_line
from haruon_tui.screens.widgets.load_strip import load_words
from haruon_tui.screens.widgets.monitor_strip import (
    Row,
    lines,
    percent,
    share,
    sparkline,
    used_of,
)

if TYPE_CHECKING:
    from haruon_tui.hardware.gpus import Gpu
    from haruon_tui.hardware.monitor import Sample
    from haruon_tui.screens.history import History

NO_GPU = "no GPU"
_PICTURE_CELLS = 24


class UsesPanel(Static):
    """Takes a line for each, or one line for all where the screen is short; none while no job
    runs."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__("", id=id, markup=False)
        self._height = -1

    def show(self, history: History | None, samples: list[Sample]) -> None:
        """Show what the run used at its newest sample, in a machine with these samples."""
        active = history is not None and history.active
        self.display = active
        if history is None or not active:
            return
        if not self.screen.has_class("-tall"):
            self.update(uses_line(history, samples, self.size.width or 70), layout=False)
            return
        rows = uses_rows(history, samples, _PICTURE_CELLS)
        self.update(lines(rows, self.size.width), layout=len(rows) != self._height)
        self._height = len(rows)


def uses_line(history: History, samples: list[Sample], room: int) -> str:
    """All of it in one line of `room` cells."""
    used = history.resources
    job = f"job {used.get('cpu_percent', 0):.0f}% {size(used.get('rss_bytes', 0))}"
    if (held := used.get("gpu_bytes")) is not None:
        job += f" GPU {size(held)}"
    if not samples:
        return f"{job}  {NO_GPU}" if not used.get("gpus") else job
    gpus = _gpus(history, samples[-1])
    if not gpus:
        job += f"  {_no_gpu(samples[-1])}"
    return f"{job}  {load_words(samples[-1], max(0, room - len(job) - 2))}"


def uses_rows(history: History, samples: list[Sample], cells: int) -> list[Row]:
    """A row for processor, memory and each GPU of the run, with pictures `cells` wide; without a
    GPU the row of the processor says so."""
    if not samples:
        return [("job", None, uses_line(history, samples, 80), "")]
    used, now, past = history.resources, samples[-1], samples[-cells:]
    gpus = _gpus(history, now)
    load = f"{percent(now.cpu_percent)}, job {used.get('cpu_percent', 0):.0f} %"
    if not gpus:
        load += f", {_no_gpu(now)}"
    memory = f"{_part(now.memory_used, now.memory_total)}, job {size(used.get('rss_bytes', 0))}"
    rows: list[Row] = [
        (
            "CPU",
            now.cpu_percent,
            load,
            sparkline((sample.cpu_percent for sample in past), cells),
        ),
        (
            "RAM",
            share(now.memory_used, now.memory_total),
            memory,
            sparkline((share(s.memory_used, s.memory_total) for s in past), cells),
        ),
    ]
    for gpu in gpus:
        held = used.get("gpu_bytes") if len(gpus) == 1 else None
        words = f"{percent(gpu.utilisation)}  {_part(gpu.memory_used, gpu.memory_total)}"
        words += f", job {size(held)}" if held is not None else ""
        filled = [_memory_share(sample, gpu.index) for sample in past]
        rows.append((f"GPU{gpu.index}", gpu.utilisation, words, sparkline(filled, cells)))
    return rows


def _part(used: float | None, total: float | None) -> str:
    """The unit once where it is the same: 23.1 of 24.0 GB."""
    words = used_of(used, total)
    unit = words[-3:]
    return words.replace(f"{unit} of", " of", 1)


def _gpus(history: History, now: Sample) -> list[Gpu]:
    """The GPUs of the run (all of the machine's when it does not say), as they were last seen."""
    from haruon_tui.hardware.gpus import Gpu

    own: list[dict[str, Any]] = history.resources.get("gpus") or []
    wanted = {one["index"] for one in own}
    live = [gpu for gpu in now.gpus if not wanted or gpu.index in wanted]
    if live or not own:
        return live
    return [
        Gpu(
            one["index"],
            "",
            one.get("memory_total"),
            one.get("memory_used"),
            one.get("utilisation"),
        )
        for one in own
    ]


def _memory_share(sample: Sample, index: int) -> float | None:
    gpu = next((gpu for gpu in sample.gpus if gpu.index == index), None)
    return share(gpu.memory_used, gpu.memory_total) if gpu else None


def _no_gpu(now: Sample) -> str:
    return f"GPU: {one_line(now.gpu_problem)}" if now.gpu_problem else NO_GPU
