"""The load of the machine: processor, memory and GPUs, now and over the last minutes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rich.cells import cell_len, set_cell_size
from textual.content import Content
from textual.widgets import Static

from haruon_tui.screens.history import size
from haruon_tui.screens.plain_text import one_line
from haruon_tui.screens.widgets.job_panel import progress_bar

if TYPE_CHECKING:
    from haruon_tui.hardware.gpus import Gpu
    from haruon_tui.hardware.monitor import Sample

Row = tuple[str, float | None, str, str]
"""Name, load in percent, its words, and a picture."""

_KEPT = 90
_BARS = "▁▂▃▄▅▆▇█"
_GAP = " "
_NAME_CELLS, _METER_CELLS = 5, 12


class MonitorStrip(Static):
    """One line each for CPU, cores, memory and every GPU."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__("", id=id, markup=False)
        self._samples: list[Sample] = []
        self._height = 0

    def show(self, samples: list[Sample]) -> None:
        """Show these samples, oldest first."""
        self._samples = samples[-_KEPT:]
        self._draw()

    def on_resize(self) -> None:
        self._draw()

    def _draw(self) -> None:
        if self._samples and self.size.width:
            rows = monitor_rows(self._samples, max(8, self.size.width // 4))
            self.update(lines(rows, self.size.width), layout=len(rows) != self._height)
            self._height = len(rows)


def monitor_rows(samples: list[Sample], cells: int) -> list[Row]:
    """What the strip says, from the oldest sample to the newest; pictures `cells` wide."""
    now = samples[-1]
    rows: list[Row] = [
        (
            "CPU",
            now.cpu_percent,
            percent(now.cpu_percent),
            sparkline((sample.cpu_percent for sample in samples[-cells:]), cells),
        )
    ]
    if len(now.per_core) > 1:
        rows.append(("cores", None, f"{len(now.per_core)}", sparkline(now.per_core, 0)))
    rows.append(
        (
            "RAM",
            share(now.memory_used, now.memory_total),
            used_of(now.memory_used, now.memory_total),
            sparkline((share(s.memory_used, s.memory_total) for s in samples[-cells:]), cells),
        )
    )
    rows += [_gpu(gpu, samples[-cells:], cells) for gpu in now.gpus]
    if not now.gpus:
        reason = one_line(now.gpu_problem) if now.gpu_problem else "no NVIDIA GPU here"
        rows.append(("GPU", None, reason, ""))
    return rows


def sparkline(percents: Iterable[float | None], cells: int) -> str:
    """One bar per value on a scale from 0 to 100, at the right of `cells`; None is a gap.

    Textual's Sparkline spans from the lowest to the highest value, which makes an idle machine
    look busy.
    """
    bars = "".join(
        _GAP if value is None else _BARS[min(7, max(0, int(value / 12.5)))] for value in percents
    )
    return bars.rjust(cells)


def _gpu(gpu: Gpu, samples: list[Sample], cells: int) -> Row:
    past = [
        next((other.utilisation for other in sample.gpus if other.index == gpu.index), None)
        for sample in samples
    ]
    memory = used_of(gpu.memory_used, gpu.memory_total)
    words = f"{percent(gpu.utilisation)}  {memory}  {one_line(gpu.name)}"
    return f"GPU{gpu.index}", gpu.utilisation, words, sparkline(past, cells)


def lines(rows: list[Row], room: int) -> Content:
    """One line per row: name, meter, words, and the newest of the picture that `room` cells hold;
    the pictures stand below each other."""
    spans: list[tuple[str, str]] = []
    heads = [_head(load, words) for _, load, words, _ in rows]
    widest = max(
        (sum(map(cell_len, head)) for head, row in zip(heads, rows, strict=True) if row[3]),
        default=0,
    )
    left = max(0, room - _NAME_CELLS - 1 - widest - 2)
    for (name, _, _, picture), (meter, words) in zip(rows, heads, strict=True):
        gap = " " * (widest - cell_len(meter) - cell_len(words) + 2) if picture else ""
        spans += [
            ("\n" if spans else "", ""),
            (set_cell_size(name, _NAME_CELLS + 1), "bold"),
            (meter, "$text-primary"),
            (words + gap, ""),
            (picture[-left:] if left else "", "$text-primary"),
        ]
    return Content.assemble(*spans)


def _head(load: float | None, words: str) -> tuple[str, str]:
    return "" if load is None else f"{progress_bar(load / 100, _METER_CELLS)} ", words


def percent(value: float | None) -> str:
    return "N/A  " if value is None else f"{value:3.0f} %"


def share(used: float | None, total: float | None) -> float | None:
    return 100 * used / total if used is not None and total else None


def used_of(used: float | None, total: float | None) -> str:
    if used is None and total is None:
        return "N/A"
    return " of ".join("N/A" if value is None else size(value) for value in (used, total))
