"""One cheap look at the machine, for a display that refreshes every second or two."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import psutil

from haruon_tui.hardware import cgroup, gpus
from haruon_tui.hardware.gpus import Gpu, Reading

GPU_SECONDS = 5.0
"""Between two runs of `nvidia-smi`, which cost far more than everything else here together."""

_SHORTEST_INTERVAL = 0.1
"""Seconds; over less, the kernel's 10 ms ticks say nothing about load."""

_READABLE = (OSError, psutil.Error, RuntimeError, ValueError, KeyError)
_Value = TypeVar("_Value")
_Other = TypeVar("_Other")


@dataclass(frozen=True)
class Rates:
    """Bytes per second over all disks and over all network interfaces but the loopback."""

    disk_read: float | None = None
    disk_write: float | None = None
    received: float | None = None
    sent: float | None = None


@dataclass(frozen=True)
class Sample:
    """The machine at one moment; memory in bytes, load in percent, None where not known.

    CPU load and rates are means since the sample before, or since the Monitor was made; there
    are none right after that.
    """

    time: float
    cpu_percent: float | None = None
    per_core: list[float] = field(default_factory=list)
    memory_used: int | None = None
    memory_total: int | None = None
    swap_used: int | None = None
    swap_total: int | None = None
    rates: Rates = field(default_factory=Rates)
    gpus: list[Gpu] = field(default_factory=list)
    gpu_problem: str | None = None


class Monitor:
    """Keeps what one sample needs of the one before. Safe to use from several threads."""

    def __init__(self, *, gpu_seconds: float = GPU_SECONDS) -> None:
        """GPUs are read again after `gpu_seconds`; until then a sample repeats them."""
        self.detail = True
        """Whether to ask for power, clocks and throttling: one more run of `nvidia-smi`."""
        self._lock = threading.Lock()
        self._gpu_seconds = gpu_seconds
        self._limits = cgroup.limits()
        self._at = 0.0
        self._times: list[tuple[float, float]] = []
        self._per_core: list[float] = []
        self._counted: tuple[float, ...] | None = None
        self._counted_at = 0.0
        self._rates = Rates()
        self._gpus = Reading()
        self._gpus_at = -gpu_seconds
        _or(self._load, None)
        _or(self._flow, None)

    def sample(self) -> Sample:
        """Look now. Never raises: what cannot be read is None or empty."""
        with self._lock:
            per_core: list[float] = _or(self._load, [])
            rates = _or(self._flow, Rates())
            used, total = _or(self._memory, (None, None))
            swap = _or(psutil.swap_memory, None)
            reading = self._read_gpus()
        return Sample(
            time=time.time(),
            cpu_percent=sum(per_core) / len(per_core) if per_core else None,
            per_core=per_core,
            memory_used=used,
            memory_total=total,
            swap_used=swap.used if swap else None,
            swap_total=swap.total if swap else None,
            rates=rates,
            gpus=reading.gpus,
            gpu_problem=reading.problem,
        )

    def _read_gpus(self) -> Reading:
        now = time.monotonic()
        if now - self._gpus_at >= self._gpu_seconds:
            try:
                self._gpus = gpus.read_gpus(detail=self.detail)
            except Exception as error:  # noqa: BLE001 - whatever a driver's library raises is shown
                self._gpus = Reading(problem=f"{type(error).__name__}: {error}")
            self._gpus_at = now
        return self._gpus

    def _load(self) -> list[float]:
        now = time.monotonic()
        if self._times and now - self._at < _SHORTEST_INTERVAL:
            return self._per_core
        times = [_busy_and_total(core) for core in psutil.cpu_times(percpu=True)]
        if len(times) == len(self._times):  # else a core came or went: start again
            self._per_core = [
                _percent(busy - busy_before, total - total_before)
                for (busy, total), (busy_before, total_before) in zip(
                    times, self._times, strict=True
                )
            ]
        self._at, self._times = now, times
        return self._per_core

    def _flow(self) -> Rates:
        now = time.monotonic()
        seconds = now - self._counted_at
        if self._counted and seconds < _SHORTEST_INTERVAL:
            return self._rates
        counted = _counters()
        if self._counted:
            self._rates = Rates(
                *(
                    max(0.0, (after - before) / seconds)
                    for after, before in zip(counted, self._counted, strict=True)
                )
            )
        self._counted, self._counted_at = counted, now
        return self._rates

    def _memory(self) -> tuple[int | None, int | None]:
        memory = psutil.virtual_memory()
        limit = self._limits.memory
        if limit is not None and limit < memory.total:
            return self._limits.memory_used(), limit
        return memory.total - memory.available, memory.total


def _or(read: Callable[[], _Value], otherwise: _Other) -> _Value | _Other:
    try:
        return read()
    except _READABLE:
        return otherwise


def _counters() -> tuple[float, ...]:
    """Bytes read from and written to disks, received and sent, since the machine started."""
    disks = psutil.disk_io_counters()
    networks = psutil.net_io_counters(pernic=True)
    outside = [counted for name, counted in networks.items() if not name.startswith("lo")]
    return (
        float(disks.read_bytes if disks else 0),
        float(disks.write_bytes if disks else 0),
        float(sum(counted.bytes_recv for counted in outside)),
        float(sum(counted.bytes_sent for counted in outside)),
    )


def _busy_and_total(times: object) -> tuple[float, float]:
    """Busy and total seconds of one core. On Linux, guest time is already in user time."""
    fields = times._asdict()  # type: ignore[attr-defined]
    total = sum(fields.values()) - fields.get("guest", 0.0) - fields.get("guest_nice", 0.0)
    return total - fields.get("idle", 0.0) - fields.get("iowait", 0.0), total


def _percent(busy: float, total: float) -> float:
    return min(100.0, max(0.0, 100.0 * busy / total)) if total > 0 else 0.0
