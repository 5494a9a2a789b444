"""What a job's processes use, for the samples in its own log."""

from __future__ import annotations

import sys
import time
from typing import Any

import psutil

from haruon_tui.hardware.gpus import read_gpus, read_processes

GPU_SECONDS = 5.0
"""Between two looks at the GPUs, which may each be a run of `nvidia-smi`."""


class Sampler:
    """Samples this process and all that it started."""

    def __init__(self, devices: tuple[str, ...]) -> None:
        """`devices` are those of the job's ticket; GPUs are looked at when it holds one."""
        self._gpus = {
            int(name[3:]) for name in devices if name[:3] == "gpu" and name[3:].isdigit()
        }
        self._process = psutil.Process()
        self._seen: dict[int, psutil.Process] = {}
        self._gpu_fields: dict[str, Any] = {}
        self._gpus_at = -GPU_SECONDS
        self._processes()

    def sample(self) -> dict[str, Any]:
        """`cpu_percent` (100 is one core, since the sample before) and `rss_bytes`; with a GPU
        also `gpu_bytes`, held by the job, and `gpus`: index, utilisation in percent, memory_used
        and memory_total in bytes, each None where the driver does not tell."""
        used = self._processes()
        return {
            "cpu_percent": sum(load for load, _ in used.values()),
            "rss_bytes": sum(memory for _, memory in used.values()),
            **self._of_gpus(set(used)),
        }

    def _processes(self) -> dict[int, tuple[float, int]]:
        """Load and resident bytes by pid; a process just found has no load yet."""
        try:
            processes = [self._process, *self._process.children(recursive=True)]
        except psutil.Error:
            processes = [self._process]
        self._seen = {each.pid: self._seen.get(each.pid, each) for each in processes}
        used = {}
        for pid, process in self._seen.items():
            try:
                used[pid] = process.cpu_percent(), process.memory_info().rss
            except psutil.Error:
                continue  # it has ended meanwhile
        return used

    def _of_gpus(self, pids: set[int]) -> dict[str, Any]:
        if not self._gpus:
            return {}
        if time.monotonic() - self._gpus_at >= GPU_SECONDS:
            self._gpus_at = time.monotonic()
            gpus = [gpu for gpu in read_gpus().gpus if gpu.index in self._gpus]
            held = [one.memory for one in read_processes(gpus) or [] if one.pid in pids]
            known = [memory for memory in held if memory is not None]
            self._gpu_fields = {
                "gpu_bytes": sum(known) if known else _reserved_by_torch(),
                "gpus": [
                    {
                        "index": gpu.index,
                        "utilisation": gpu.utilisation,
                        "memory_used": gpu.memory_used,
                        "memory_total": gpu.memory_total,
                    }
                    for gpu in gpus
                ],
            }
        return self._gpu_fields


def _reserved_by_torch() -> int | None:
    """In a container the driver names other pids: then what this process's allocator holds."""
    torch = sys.modules.get("torch")
    cuda = getattr(torch, "cuda", None)
    try:
        if cuda is None or not cuda.is_initialized():
            return None
        return sum(int(cuda.memory_reserved(index)) for index in range(cuda.device_count()))
    except (RuntimeError, AttributeError):
        return None
