"""What the accelerator or the CPU of this process can do. Imports torch only when asked."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, Literal

from haruon_tui.hardware import cgroup, cuda

if TYPE_CHECKING:
    import torch

Precision = Literal["auto", "bf16", "fp16", "fp32"]


def use_allowed_cores() -> int:
    """Let torch use as many threads as the affinity mask and the control group allow.

    torch sees the affinity mask but not a container's CPU quota; more threads than the quota
    make every parallel region wait for a descheduled one. A thread that waits spins for a tenth
    of a millisecond and then sleeps: never spinning costs a fifth of the speed on a quiet
    machine, spinning long makes training several times slower beside another busy process.
    OpenMP reads that wish when torch is first imported, so call this before.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", "30000")
    import torch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    quota = cgroup.limits().cores
    threads = max(1, min(cores or 1, math.ceil(quota) if quota else cores or 1))
    beside = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))  # processes that a launcher started
    threads = max(1, threads // beside)
    torch.set_num_threads(threads)
    return threads


def use_growing_segments() -> None:
    """Let the GPU's allocator grow what it has taken, not keep pieces that no later batch fits.

    Batches differ in length: without it a training of 15.2 GB took 22.8 of the card, with it 16.2
    (`python -m bench gpu_training`, NVIDIA H200). torch reads that wish when it is first
    imported, so call this before.
    """
    os.environ.setdefault("PYTORCH_ALLOC_CONF", "expandable_segments:True")


def device() -> str:
    """The device to compute on: "cuda", "mps" or "cpu"."""
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def dtype(precision: Precision) -> torch.dtype:
    """The type to compute in. "auto" takes bf16 where the hardware multiplies it, else fp32; so
    does fp16 on a CPU, which has no kernels for it that train."""
    import torch

    if precision == "fp16" and device() == "cpu":
        return torch.float32
    if precision == "auto":
        return torch.bfloat16 if _multiplies_bf16() else torch.float32
    return {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}[precision]


def capability() -> tuple[int, int] | None:
    """The GPU's compute capability; None without one of CUDA."""
    import torch

    return torch.cuda.get_device_capability() if device() == "cuda" else None


def _multiplies_bf16() -> bool:
    import torch

    if gpu := capability():
        # is_bf16_supported() also counts emulation, which is slower than fp32.
        return gpu >= cuda.BF16
    return device() == "cpu" and bool(
        torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    )
