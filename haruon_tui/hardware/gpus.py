"""What the GPUs say of themselves: NVML first, GPUtil (`nvidia-smi`) where NVML cannot load."""

from __future__ import annotations

import math
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

NVIDIA_SMI_SECONDS = 2.5
"""How long `nvidia-smi` may take; a driver in trouble lets it hang."""

_MIB = 1 << 20


@dataclass(frozen=True)
class Gpu:
    """One GPU. A reading that the driver does not give is None. Memory in bytes, utilisation
    in percent."""

    index: int
    name: str
    memory_total: int | None = None
    memory_used: int | None = None
    utilisation: float | None = None
    driver: str | None = None

    @property
    def memory_free(self) -> int | None:
        if self.memory_total is None or self.memory_used is None:
            return None
        return self.memory_total - self.memory_used


@dataclass(frozen=True)
class Reading:
    """The GPUs at one moment. `problem` says why they cannot be known, where they cannot."""

    gpus: list[Gpu] = field(default_factory=list)
    problem: str | None = None


def read_gpus() -> Reading:
    """Read every NVIDIA GPU. Never raises, and never takes much longer than NVIDIA_SMI_SECONDS."""
    nvml = _nvml.get()
    if nvml is not None:
        return _read_nvml(nvml)
    if shutil.which("nvidia-smi") is None:
        return Reading()
    return _read_gputil()


class _Nvml:
    """NVML, initialised at most once."""

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


_nvml = _Nvml()


def _read_nvml(nvml: Any) -> Reading:
    try:
        driver = _text(nvml.nvmlSystemGetDriverVersion())
        handles = [nvml.nvmlDeviceGetHandleByIndex(i) for i in range(nvml.nvmlDeviceGetCount())]
    except Exception as error:  # noqa: BLE001 - a driver in trouble must not end a display
        return Reading(problem=f"NVML: {error}")
    gpus = []
    for index, handle in enumerate(handles):
        memory = _or_none(nvml.nvmlDeviceGetMemoryInfo, handle)
        load = _or_none(nvml.nvmlDeviceGetUtilizationRates, handle)
        name = _or_none(nvml.nvmlDeviceGetName, handle)
        gpus.append(
            Gpu(
                index=index,
                name=_text(name) if name else f"GPU {index}",
                memory_total=int(memory.total) if memory else None,
                memory_used=int(memory.used) if memory else None,
                utilisation=float(load.gpu) if load else None,
                driver=driver,
            )
        )
    return Reading(gpus)


def _or_none(read: Callable[[Any], Any], handle: Any) -> Any:
    try:
        return read(handle)
    except Exception:  # noqa: BLE001 - "not supported" on MIG slices and on some consumer cards
        return None


def _text(value: str | bytes) -> str:
    return value.decode("utf-8", errors="replace") if isinstance(value, bytes) else value


class _Smi(subprocess.Popen[bytes]):
    """What GPUtil starts `nvidia-smi` with: it has no time limit of its own, and lets the
    program's complaints through to the terminal, which may be showing our screen."""

    silent = False
    """Whether the last nvidia-smi had to be ended: GPUtil takes any error for "no GPU"."""

    def __init__(self, arguments: list[str], **options: Any) -> None:
        super().__init__(
            arguments,
            **options,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        _Smi.silent = False

    def communicate(
        self, input: bytes | None = None, timeout: float | None = None
    ) -> tuple[bytes, bytes]:
        try:
            return super().communicate(input, timeout or NVIDIA_SMI_SECONDS)
        except subprocess.TimeoutExpired:
            _Smi.silent = True
            os.killpg(self.pid, signal.SIGKILL)
            raise


_smi_lock = threading.Lock()


def _read_gputil() -> Reading:
    with _smi_lock:
        try:
            import GPUtil.GPUtil

            GPUtil.GPUtil.Popen = _Smi
            gpus = [_from_gputil(found) for found in GPUtil.GPUtil.getGPUs()]
        except Exception as error:  # noqa: BLE001 - GPUtil raises whatever its parsing ran into
            return Reading(problem=f"nvidia-smi answered something unreadable ({error})")
        if _Smi.silent:
            return Reading(problem=f"nvidia-smi did not answer within {NVIDIA_SMI_SECONDS:g} s")
        return Reading(gpus, None if gpus else "nvidia-smi lists no GPU")


def _from_gputil(found: Any) -> Gpu:
    load, total, used = (
        _finite(value) for value in (found.load, found.memoryTotal, found.memoryUsed)
    )
    return Gpu(
        index=found.id,
        name=found.name.strip(),
        memory_total=int(total * _MIB) if total is not None else None,
        memory_used=int(used * _MIB) if used is not None else None,
        utilisation=load * 100 if load is not None else None,
        driver=found.driver.strip() or None,
    )


def _finite(value: float) -> float | None:
    """GPUtil gives NaN for what nvidia-smi writes as [N/A]."""
    return value if math.isfinite(value) else None
