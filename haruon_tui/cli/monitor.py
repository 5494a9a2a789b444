"""`haruon monitor`: the load in a plain terminal, as lines in a pipe, or as JSON."""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import asdict

from rich.cells import set_cell_size

from haruon_tui.cli import output
from haruon_tui.errors import ConfigurationError, Exit
from haruon_tui.hardware.gpus import Gpu
from haruon_tui.hardware.monitor import GPU_SECONDS, Monitor, Sample

_BAR_CELLS = 20
_UP, _ERASE_DOWN = "\x1b[{}A", "\x1b[J"


def monitor(arguments: argparse.Namespace) -> int:
    """Show CPU, memory, disk, network and GPU load until Ctrl+C, or `--count` times."""
    if arguments.interval <= 0:
        raise ConfigurationError(
            f"{arguments.interval:g} seconds cannot be waited for",
            where="--interval",
            expected="a number above 0",
        )
    watching = Monitor(gpu_seconds=max(GPU_SECONDS, arguments.interval))
    redraw = sys.stdout.isatty() and not arguments.json
    taken = shown = 0
    while not arguments.count or taken < arguments.count:
        time.sleep(arguments.interval if taken else min(arguments.interval, 0.3))
        sample = watching.sample()
        taken += 1
        if arguments.json:
            output.json_line(asdict(sample))
        elif redraw:
            shown = _redraw(lines(sample), shown)
        else:
            output.line("  ".join(lines(sample, bars=False)))
    return Exit.OK


def lines(sample: Sample, *, bars: bool = True) -> list[str]:
    """One line each for the CPU, memory, disks, network, and every GPU."""
    rates = sample.rates
    rows = [
        _loaded("CPU", sample.cpu_percent, _percent(sample.cpu_percent), bars),
        _loaded(
            "RAM",
            _share(sample.memory_used, sample.memory_total),
            f"{_size(sample.memory_used)} of {_size(sample.memory_total)}",
            bars,
        ),
        f"disk read {_rate(rates.disk_read)}, write {_rate(rates.disk_write)}",
        f"network in {_rate(rates.received)}, out {_rate(rates.sent)}",
        *(_loaded(f"GPU{gpu.index}", gpu.utilisation, _gpu(gpu), bars) for gpu in sample.gpus),
    ]
    if sample.gpu_problem:
        rows.append(f"GPU unknown: {sample.gpu_problem}")
    return rows


def _redraw(rows: list[str], before: int) -> int:
    cells = max(20, _columns() - 1)
    up = _UP.format(before) if before else ""
    drawn = "\n".join(set_cell_size(output.clean(row), cells).rstrip() for row in rows)
    sys.stdout.write(f"{up}\r{_ERASE_DOWN}{drawn}\n")
    sys.stdout.flush()
    return len(rows)


def _columns() -> int:
    """Columns of the terminal, 80 where it does not say."""
    import shutil

    return shutil.get_terminal_size().columns


def _loaded(name: str, load: float | None, words: str, bars: bool) -> str:
    if not bars:
        return f"{name} {words}"
    filled = round(_BAR_CELLS * min(100.0, max(0.0, load or 0.0)) / 100)
    return f"{name:<5} {'█' * filled}{'░' * (_BAR_CELLS - filled)} {words}"


def _gpu(gpu: Gpu) -> str:
    throttle = f", throttled by {', '.join(gpu.throttle)}" if gpu.throttle else ""
    return (
        f"{_percent(gpu.utilisation)} {_size(gpu.memory_used)} of {_size(gpu.memory_total)} "
        f"{_number(gpu.temperature, '°C')} {_number(gpu.power, 'W')} "
        f"{_number(gpu.clock, 'MHz')}{throttle} {gpu.name}"
    )


def _percent(value: float | None) -> str:
    return _number(value, "%")


def _number(value: float | None, unit: str) -> str:
    return "N/A" if value is None else f"{value:.0f} {unit}"


def _size(count: float | None) -> str:
    return "N/A" if count is None else output.size(count)


def _rate(count: float | None) -> str:
    return "N/A" if count is None else f"{output.size(count)}/s"


def _share(used: float | None, total: float | None) -> float | None:
    return 100 * used / total if used is not None and total else None
