"""What one looks at before choosing GPUs: what each holds, who holds it, and who waits for it."""

from __future__ import annotations

from dataclasses import dataclass, field

from haruon_tui.hardware.gpu_wait import gib, holders_text
from haruon_tui.hardware.gpus import Gpu, GpuProcess, read_gpus, read_processes
from haruon_tui.jobs import devices, tickets


@dataclass(frozen=True)
class GpuState:
    """`holders` is None where the driver does not tell; `queue` names the jobs, the one that
    works first."""

    gpu: Gpu
    holders: list[GpuProcess] | None = None
    queue: list[str] = field(default_factory=list)

    def lines(self) -> tuple[str, str, str]:
        """Name and load, who holds memory, who waits."""
        gpu = self.gpu
        free, total = (_size(amount) for amount in (gpu.memory_free, gpu.memory_total))
        busy = "N/A" if gpu.utilisation is None else f"{gpu.utilisation:.0f} %"
        holders = (
            "the driver does not tell who holds memory"
            if self.holders is None
            else holders_text(self.holders)
            if self.holders
            else "no process holds memory"
        )
        working, waiting = self.queue[:1], self.queue[1:]
        queue = f"works for {working[0]}" if working else "no job"
        if waiting:
            queue += f", then {', '.join(waiting)}"
        return f"{gpu.name}: {free} of {total} free, busy {busy}", holders, queue


@dataclass(frozen=True)
class GpuStates:
    """Every GPU now; `problem` says why they are not known, where they are not."""

    gpus: list[GpuState]
    problem: str | None = None


def read_gpu_states() -> GpuStates:
    """Look at the GPUs, their processes and their queues. Never raises; takes no longer than
    `nvidia-smi` may twice."""
    reading = read_gpus()
    held = read_processes(reading.gpus)
    queues = tickets.queues()
    return GpuStates(
        [
            GpuState(
                gpu,
                None if held is None else [one for one in held if one.gpu_index == gpu.index],
                queues.get(devices.name_of(gpu), []) + queues.get(tickets.QUIET, []),
            )
            for gpu in reading.gpus
        ],
        reading.problem,
    )


def _size(amount: int | None) -> str:
    return "N/A" if amount is None else gib(amount)
