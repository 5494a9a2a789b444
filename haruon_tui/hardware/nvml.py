"""The GPUs through NVML, the driver's own library. Any single reading may be refused."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from haruon_tui.hardware.gpus import Gpu, GpuProcess, Reading

THROTTLE_REASONS = {
    0x2: "clocks set by an administrator",
    0x4: "power cap",
    0x8: "hardware slowdown",
    0x10: "sync boost",
    0x20: "too hot (software)",
    0x40: "too hot (hardware)",
    0x80: "power brake",
    0x100: "display clocks",
}
"""nvml.h, nvmlClocksEventReasons; 0x1 only says that the GPU is idle."""


class Library:
    """pynvml, initialised at most once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tried = False
        self._library: Any = None

    def get(self) -> Any:
        """The pynvml module ready for use, or None where there is no driver."""
        with self._lock:
            if not self._tried:
                self._tried = True
                try:
                    import pynvml

                    pynvml.nvmlInit()
                    self._library = pynvml
                except Exception:  # noqa: BLE001 - no library, no driver, or versions that do not match
                    self._library = None
            return self._library


LIBRARY = Library()


def read_gpus(nvml: Any) -> Reading:
    """Every GPU that NVML lists."""
    try:
        driver = _text(nvml.nvmlSystemGetDriverVersion())
        handles = [nvml.nvmlDeviceGetHandleByIndex(i) for i in range(nvml.nvmlDeviceGetCount())]
    except Exception as error:  # noqa: BLE001 - a driver in trouble must not end a display
        return Reading(problem=f"NVML: {error}")
    return Reading([_gpu(nvml, index, handle, driver) for index, handle in enumerate(handles)])


def read_processes(nvml: Any) -> list[GpuProcess] | None:
    """The processes that compute or draw on any GPU; None when NVML does not tell."""
    found: dict[tuple[int, int], int | None] = {}
    try:
        for index in range(nvml.nvmlDeviceGetCount()):
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
            running = [*nvml.nvmlDeviceGetComputeRunningProcesses(handle)]
            running += _asked(nvml, "nvmlDeviceGetGraphicsRunningProcesses", handle) or []
            for process in running:
                found[index, int(process.pid)] = _int(getattr(process, "usedGpuMemory", None))
    except Exception:  # noqa: BLE001 - not allowed, not supported, or the driver is in trouble
        return None
    return [GpuProcess(index, pid, memory) for (index, pid), memory in found.items()]


def _gpu(nvml: Any, index: int, handle: Any, driver: str) -> Gpu:
    def ask(name: str, *arguments: Any) -> Any:
        return _asked(nvml, name, handle, *arguments)

    memory = ask("nvmlDeviceGetMemoryInfo")
    load = ask("nvmlDeviceGetUtilizationRates")
    name = ask("nvmlDeviceGetName")
    uuid = ask("nvmlDeviceGetUUID")
    capability = ask("nvmlDeviceGetCudaComputeCapability")
    reasons = ask("nvmlDeviceGetCurrentClocksEventReasons")
    if reasons is None:  # its name before driver 535
        reasons = ask("nvmlDeviceGetCurrentClocksThrottleReasons")
    return Gpu(
        index=index,
        name=_text(name) if name else f"GPU {index}",
        memory_total=_int(memory.total) if memory else None,
        memory_used=_int(memory.used) if memory else None,
        utilisation=float(load.gpu) if load else None,
        driver=driver,
        uuid=_text(uuid) if uuid else None,
        temperature=_float(ask("nvmlDeviceGetTemperature", 0)),
        power=_float(ask("nvmlDeviceGetPowerUsage"), 1000),
        power_limit=_float(ask("nvmlDeviceGetEnforcedPowerLimit"), 1000),
        clock=_float(ask("nvmlDeviceGetClockInfo", 1)),
        memory_clock=_float(ask("nvmlDeviceGetClockInfo", 2)),
        throttle=throttle_reasons(reasons),
        compute_capability=(int(capability[0]), int(capability[1])) if capability else None,
    )


def throttle_reasons(bits: int | None) -> tuple[str, ...] | None:
    """The names of the bits that mean less speed."""
    if bits is None:
        return None
    return tuple(name for bit, name in THROTTLE_REASONS.items() if bits & bit)


def _asked(nvml: Any, name: str, *arguments: Any) -> Any:
    read: Callable[..., Any] | None = getattr(nvml, name, None)
    if read is None:
        return None
    try:
        return read(*arguments)
    except Exception:  # noqa: BLE001 - "not supported" on MIG slices and on some consumer cards
        return None


def _text(value: str | bytes) -> str:
    return value.decode("utf-8", errors="replace") if isinstance(value, bytes) else value


def _int(value: Any) -> int | None:
    return int(value) if isinstance(value, int | float) and value >= 0 else None


def _float(value: Any, divisor: float = 1) -> float | None:
    return float(value) / divisor if isinstance(value, int | float) else None
