"""The rows of the full monitor: every reading with its picture over a span of time."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from haruon_tui.screens.history import size
from haruon_tui.screens.plain_text import one_line
from haruon_tui.screens.widgets.monitor_strip import Row, percent, share, sparkline, used_of

if TYPE_CHECKING:
    from haruon_tui.hardware.gpus import Gpu
    from haruon_tui.hardware.monitor import Sample

Read = Callable[["Sample"], "float | None"]


def full_rows(samples: list[Sample], seconds: float, cells: int) -> list[Row]:
    """All that is known of the machine, from the oldest sample to the newest; pictures are
    `cells` wide and reach back `seconds`."""
    now = samples[-1]

    def picture(read: Read) -> list[float | None]:
        return spread([(s.time, read(s)) for s in samples], now.time - seconds, now.time, cells)

    def load(name: str, read: Read, words: str) -> Row:
        return name, read(now), words, sparkline(picture(read), cells)

    def rate(name: str, read: Read) -> Row:
        past = picture(read)
        most = max((value for s in samples if (value := read(s)) is not None), default=0.0)
        scaled = [None if v is None else 100 * v / most if most else 0.0 for v in past]
        value = read(now)
        words = "N/A" if value is None else f"{size(value)}/s"
        return name, None, f"{words}, at most {size(most)}/s", sparkline(scaled, cells)

    rows: list[Row] = [load("CPU", lambda s: s.cpu_percent, percent(now.cpu_percent))]
    rows += _cores(now)
    rows.append(
        load(
            "RAM",
            lambda s: share(s.memory_used, s.memory_total),
            used_of(now.memory_used, now.memory_total),
        )
    )
    if now.swap_total:
        swap = used_of(now.swap_used, now.swap_total)
        rows.append(load("swap", lambda s: share(s.swap_used, s.swap_total), swap))
    rows += [
        rate("read", lambda s: s.rates.disk_read),
        rate("write", lambda s: s.rates.disk_write),
        rate("net ↓", lambda s: s.rates.received),
        rate("net ↑", lambda s: s.rates.sent),
    ]
    for gpu in now.gpus:
        rows += _gpu(gpu, load)
    if not now.gpus:
        reason = one_line(now.gpu_problem) if now.gpu_problem else "no NVIDIA GPU here"
        rows.append(("GPU", None, reason, ""))
    return rows


def spread(
    values: list[tuple[float, float | None]], start: float, end: float, cells: int
) -> list[float | None]:
    """Values (time, value) as `cells` means over equal times from `start` to `end`; a time
    without a value is None. A span with fewer samples than cells has its last value repeated, so
    that a picture has no holes where nothing is missing."""
    if cells <= 0:
        return []
    sums = [0.0] * cells
    counts = [0] * cells
    for at, value in values:
        place = int((at - start) / (end - start) * cells) if end > start else cells - 1
        if value is not None and 0 <= place <= cells:
            place = min(place, cells - 1)
            sums[place] += value
            counts[place] += 1
    means = [total / count if count else None for total, count in zip(sums, counts, strict=True)]
    gap = _longest_gap(values, start, end, cells)
    since = gap + 1
    for place, mean in enumerate(means):
        since = 0 if mean is not None else since + 1
        if mean is None and since <= gap and place:
            means[place] = means[place - 1]
    return means


def _longest_gap(
    values: list[tuple[float, float | None]], start: float, end: float, cells: int
) -> int:
    """Cells between two neighbouring samples, with some patience for a late one."""
    if len(values) < 2 or end <= start or not cells:
        return 0
    step = (values[-1][0] - values[0][0]) / (len(values) - 1)
    return int(2 * step * cells / (end - start))


def _cores(now: Sample) -> list[Row]:
    """Every core's load now, 32 to a line."""
    cores = now.per_core if len(now.per_core) > 1 else []
    return [
        (
            "cores" if first == 0 else "",
            None,
            f"{first}-{min(first + 32, len(cores)) - 1}",
            sparkline(cores[first : first + 32], 0),
        )
        for first in range(0, len(cores), 32)
    ]


def _gpu(gpu: Gpu, load: Callable[[str, Read, str], Row]) -> list[Row]:
    def newest(sample: Sample) -> Gpu | None:
        return next((other for other in sample.gpus if other.index == gpu.index), None)

    def utilisation(sample: Sample) -> float | None:
        found = newest(sample)
        return found.utilisation if found else None

    def memory(sample: Sample) -> float | None:
        found = newest(sample)
        return share(found.memory_used, found.memory_total) if found else None

    power = f"{_number(gpu.power, 'W')} of {_number(gpu.power_limit, 'W')}"
    clocks = f"{_number(gpu.clock, 'MHz')}, mem {_number(gpu.memory_clock, 'MHz')}"
    throttle = ", ".join(gpu.throttle) or "nothing" if gpu.throttle is not None else "N/A"
    facts = f"{_number(gpu.temperature, '°C')}  {power}  {clocks}  throttled by: {throttle}"
    return [
        load(
            f"GPU{gpu.index}",
            utilisation,
            f"{percent(gpu.utilisation)}  {one_line(gpu.name)[:24]}",
        ),
        load(" mem", memory, used_of(gpu.memory_used, gpu.memory_total)),
        ("", None, facts, ""),
    ]


def _number(value: float | None, unit: str) -> str:
    return "N/A" if value is None else f"{value:.0f} {unit}"
