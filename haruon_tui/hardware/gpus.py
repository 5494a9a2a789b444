"""What the GPUs say of themselves: NVML first, GPUtil (`nvidia-smi`) where NVML cannot load."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Gpu:
    """One GPU. A reading that the driver does not give is None.

    Memory in bytes, utilisation in percent, temperature in °C, power in W, clocks in MHz.
    `throttle` names what holds the clocks down now; it is empty when nothing does.
    """

    index: int
    name: str
    memory_total: int | None = None
    memory_used: int | None = None
    utilisation: float | None = None
    driver: str | None = None
    uuid: str | None = None
    temperature: float | None = None
    power: float | None = None
    power_limit: float | None = None
    clock: float | None = None
    memory_clock: float | None = None
    throttle: tuple[str, ...] | None = None
    compute_capability: tuple[int, int] | None = None

    @property
    def memory_free(self) -> int | None:
        if self.memory_total is None or self.memory_used is None:
            return None
        return self.memory_total - self.memory_used


@dataclass(frozen=True)
class GpuProcess:
    """A process that holds memory (bytes) of a GPU. In a container its user and name may not be
    known: the driver counts pids as the host does."""

    gpu_index: int
    pid: int
    memory: int | None = None
    user: str | None = None
    name: str | None = None


@dataclass(frozen=True)
class Reading:
    """The GPUs at one moment. `problem` says why they cannot be known, where they cannot."""

    gpus: list[Gpu] = field(default_factory=list)
    problem: str | None = None


def read_gpus(*, detail: bool = False) -> Reading:
    """Read every NVIDIA GPU. Never raises, and takes no longer than the time limit of
    `nvidia-smi`.

    `detail` also asks for power, clocks, throttling and compute capability where that takes one
    more run of `nvidia-smi`; NVML always gives them.
    """
    from haruon_tui.hardware import nvidia_smi, nvml

    if (library := nvml.LIBRARY.get()) is not None:
        return nvml.read_gpus(library)
    return nvidia_smi.read_gpus(detail=detail) if nvidia_smi.is_there() else Reading()


def read_processes(gpus: list[Gpu]) -> list[GpuProcess] | None:
    """Who holds memory of `gpus`, most memory first; None when that cannot be known."""
    from haruon_tui.hardware import nvidia_smi, nvml

    if not gpus:
        return []
    if (library := nvml.LIBRARY.get()) is not None:
        found = nvml.read_processes(library)
    else:
        found = nvidia_smi.read_processes(gpus) if nvidia_smi.is_there() else None
    if found is None:
        return None
    return sorted(map(_named, found), key=lambda process: -(process.memory or 0))


def _named(process: GpuProcess) -> GpuProcess:
    import psutil

    try:
        about = psutil.Process(process.pid)
        return GpuProcess(
            process.gpu_index, process.pid, process.memory, about.username(), about.name()
        )
    except (psutil.Error, KeyError, ValueError, OSError):
        return process
