"""The memory estimate of today's settings against what is free on this machine."""

from __future__ import annotations

import platform
from dataclasses import asdict, dataclass
from typing import Any

import psutil

from haruon_tui.hardware import cgroup
from haruon_tui.hardware.architecture import Architecture, architecture_of
from haruon_tui.hardware.gpus import Gpu, Reading, read_gpus
from haruon_tui.hardware.memory_estimate import (
    DeviceKind,
    Estimate,
    Suggestion,
    estimate,
    on_gpu,
    what_fits,
)
from haruon_tui.settings import Settings, TrainSettings


@dataclass(frozen=True)
class MemoryPlan:
    """`device` names what will compute; `free` and `total` are bytes, None where not known."""

    architecture: Architecture
    kind: DeviceKind
    device: str
    free: int | None
    total: int | None
    estimate: Estimate
    suggestions: list[Suggestion]

    @property
    def fits(self) -> bool | None:
        return None if self.free is None else self.estimate.total <= self.free

    def as_dict(self) -> dict[str, Any]:
        """For a JSON document: bytes, and settings that fit."""
        return {
            "device": self.device,
            "kind": self.kind,
            "free": self.free,
            "total": self.total,
            "fits": self.fits,
            "architecture": asdict(self.architecture),
            "estimate": self.estimate.as_dict(),
            "what_fits": [
                {"words": one.words, "settings": one.changes, "total": one.estimate.total}
                for one in self.suggestions
            ],
        }


def plan_memory(settings: Settings, reading: Reading | None = None) -> MemoryPlan | None:
    """Look at the device that a training would take now; `reading` is what the GPUs say, where
    that is known already. None when the base's architecture is not known yet: `haruon model
    fetch` brings it."""
    architecture = architecture_of(settings)
    if architecture is None:
        return None
    kind, device, free, total, train = _device(settings, reading or read_gpus())
    return MemoryPlan(
        architecture,
        kind,
        device,
        free,
        total,
        estimate(architecture, train, device=kind),
        what_fits(architecture, train, free, kind) if free is not None else [],
    )


def _device(
    settings: Settings, reading: Reading
) -> tuple[DeviceKind, str, int | None, int | None, TrainSettings]:
    """What computes, its free and total bytes, and the settings as it computes them."""
    train = settings.train
    if reading.problem and settings.hardware.gpus != []:
        return "cuda", f"GPU, unknown: {reading.problem}", None, None, train
    gpus = [gpu for gpu in reading.gpus if _allowed(gpu, settings)]
    if gpus:
        freest = max(gpus, key=lambda gpu: gpu.memory_free if gpu.memory_free is not None else -1)
        name = f"GPU {freest.index} ({freest.name})"
        computed = on_gpu(train, freest.compute_capability)
        return "cuda", name, freest.memory_free, freest.memory_total, computed
    free, total = available_memory()
    if platform.system() == "Darwin" and platform.machine() == "arm64":
        return "mps", "Apple GPU, shared memory", free, total, train
    return "cpu", "CPU", free, total, train


def _allowed(gpu: Gpu, settings: Settings) -> bool:
    return settings.hardware.gpus == "auto" or gpu.index in settings.hardware.gpus


def available_memory() -> tuple[int, int]:
    """Bytes of RAM that this process may still take, and may take at all: a control group's
    limit counts."""
    memory = psutil.virtual_memory()
    limits = cgroup.limits()
    if limits.memory is None or limits.memory >= memory.total:
        return memory.available, memory.total
    used = limits.memory_used() or 0
    return min(memory.available, max(0, limits.memory - used)), limits.memory
