"""One cheap look at the machine, for a display that refreshes every second or two."""

from __future__ import annotations

import functools
import threading
import time
from dataclasses import dataclass, field

import psutil

from haruon_tui.hardware import cgroup
from haruon_tui.hardware.gpus import Gpu, read_gpus

_SHORTEST_INTERVAL = 0.1
"""Seconds; over less, the kernel's 10 ms ticks say nothing about load."""


@dataclass(frozen=True)
class Sample:
    """The machine at one moment; memory in bytes, load in percent, None where not known.

    CPU load is the mean since the sample before, or since the Monitor was made; there is none
    right after that.
    """

    time: float
    cpu_percent: float | None = None
    per_core: list[float] = field(default_factory=list)
    memory_used: int | None = None
    memory_total: int | None = None
    gpus: list[Gpu] = field(default_factory=list)
    gpu_problem: str | None = None


class Monitor:
    """Keeps what one sample needs of the one before. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._limits = cgroup.limits()
        self._at = 0.0
        self._times: list[tuple[float, float]] = []
        self._per_core: list[float] = []
        self._load()

    def sample(self) -> Sample:
        """Look now. Never raises: what cannot be read is None or empty."""
        with self._lock:
            per_core = self._load()
        used, total = self._memory()
        reading = read_gpus()
        return Sample(
            time=time.time(),
            cpu_percent=sum(per_core) / len(per_core) if per_core else None,
            per_core=per_core,
            memory_used=used,
            memory_total=total,
            gpus=reading.gpus,
            gpu_problem=reading.problem,
        )

    def _load(self) -> list[float]:
        now = time.monotonic()
        if self._times and now - self._at < _SHORTEST_INTERVAL:
            return self._per_core
        try:
            times = [_busy_and_total(core) for core in psutil.cpu_times(percpu=True)]
        except (OSError, psutil.Error, RuntimeError):
            return []
        if len(times) == len(self._times):  # else a core came or went: start again
            self._per_core = [
                _percent(busy - busy_before, total - total_before)
                for (busy, total), (busy_before, total_before) in zip(
                    times, self._times, strict=True
                )
            ]
        self._at, self._times = now, times
        return self._per_core

    def _memory(self) -> tuple[int | None, int | None]:
        try:
            memory = psutil.virtual_memory()
        except (OSError, psutil.Error, RuntimeError):
            return None, None
        limit = self._limits.memory
        if limit is not None and limit < memory.total:
            return self._limits.memory_used(), limit
        return memory.total - memory.available, memory.total


def sample() -> Sample:
    """Look now, with the load since the last call from anywhere in this process."""
    return _shared().sample()


@functools.cache
def _shared() -> Monitor:
    return Monitor()


def _busy_and_total(times: object) -> tuple[float, float]:
    """Busy and total seconds of one core. On Linux, guest time is already in user time."""
    fields = times._asdict()  # type: ignore[attr-defined]
    total = sum(fields.values()) - fields.get("guest", 0.0) - fields.get("guest_nice", 0.0)
    return total - fields.get("idle", 0.0) - fields.get("iowait", 0.0), total


def _percent(busy: float, total: float) -> float:
    return min(100.0, max(0.0, 100.0 * busy / total)) if total > 0 else 0.0
