"""What each profile needs of a machine, beyond what is computed from the configured recipe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from haruon_tui.hardware.row import Verdict
from haruon_tui.settings import Settings

GIB = 1 << 30


@dataclass(frozen=True)
class Amount:
    """GiB: below `least` the work cannot be done, below `good` it will be tight."""

    least: float
    good: float

    def __str__(self) -> str:
        return f"{self.good:g} GiB" if self.good else "none"


@dataclass(frozen=True)
class Needs:
    """`disk` is the free space (GiB) that is comfortable; what the run writes is the least.
    `gpu` tells whether the profile needs one, `gpu_memory` (GiB) what the guide asks of it.
    `write_speed` in MB/s."""

    memory: Amount
    disk: float
    gpu: bool
    gpu_memory: float = 0.0
    write_speed: float = 10.0


NEEDS: dict[str, Needs] = {
    # The imports of a training process take about 1 GiB, its model next to nothing.
    "tiny": Needs(memory=Amount(2, 4), disk=2, gpu=False),
    # Comfortable is what the guide asks for. The F32 master of a merge is 6 GiB, and the F16
    # model is read beside it.
    # Comfortable to write 20 GB at 50 MB/s: some seven minutes.
    "qwen2-1.5b": Needs(memory=Amount(12, 32), disk=100, gpu=True, gpu_memory=16, write_speed=50),
}

_WEIGHING = {
    "model": ("base", "revision"),
    "train": (
        "recipe",
        "method",
        "rank",
        "targets",
        "batch_size",
        "max_length",
        "precision",
        "gradient_checkpointing",
        "keep_checkpoints",
    ),
    "hardware": ("gpus",),
}


def weighing(settings: Settings) -> dict[str, Any]:
    """The settings that decide what a machine must have, in haruon.toml's form. Others, such as
    the learning rate, are left out: changing them must not make the check run again."""
    chosen: dict[str, Any] = {"profile": settings.profile}
    for section, keys in _WEIGHING.items():
        values = getattr(settings, section).model_dump(mode="json")
        chosen[section] = {key: values[key] for key in keys}
    return chosen


def verdict_of(amount: float, need: Amount) -> Verdict:
    """`amount` in bytes. A machine sold with 16 GiB reports a little less: the firmware and the
    kernel keep the rest."""
    if amount < need.least * GIB * 0.95:
        return "fails"
    return "ok" if amount >= need.good * GIB * 0.95 else "warning"


def gib(amount: float) -> str:
    """`3.4 GiB`."""
    return f"{amount / GIB:.1f} GiB"
