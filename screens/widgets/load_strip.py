"""The load of the machine in a few words, for the first line of every screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from haruon_tui.screens.history import size

if TYPE_CHECKING:
    from haruon_tui.hardware.gpus import Gpu
    from haruon_tui.hardware.monitor import Sample


def load_words(sample: Sample, room: int) -> str:
    """CPU, memory and every GPU, in at most `room` cells; the busiest GPU where not all fit.

    What is not known is N/A.
    """
    first = f"CPU {_percent(sample.cpu_percent)}  RAM {_short(sample.memory_used)}"
    if sample.memory_total:
        first += f"/{_short(sample.memory_total)}"
    each = [_gpu(gpu) for gpu in sample.gpus]
    if not each and sample.gpu_problem:
        each = ["GPU N/A"]
    busiest = max(sample.gpus, key=lambda gpu: gpu.memory_used or 0, default=None)
    others = f" +{len(each) - 1}" if len(each) > 1 else ""
    candidates = ["  ".join([first, *each])]
    if busiest is not None:
        candidates.append(f"{first}  {_gpu(busiest)}{others}")
    candidates += [first, f"CPU {_percent(sample.cpu_percent)}", ""]
    return next(words for words in candidates if len(words) <= max(0, room))


def _gpu(gpu: Gpu) -> str:
    used = _short(gpu.memory_used)
    total = f"/{_short(gpu.memory_total)}" if gpu.memory_total else ""
    return f"GPU{gpu.index} {_percent(gpu.utilisation)} {used}{total}"


def _percent(value: float | None) -> str:
    return "N/A" if value is None else f"{value:.0f}%"


def _short(count: float | None) -> str:
    """Short: 3.1G, 24G."""
    if count is None:
        return "N/A"
    number, _, unit = size(count).partition(" ")
    short = f"{float(number):.0f}" if float(number) >= 10 else number
    return f"{short}{unit[0].replace('B', '')}" if unit != "B" else short
