"""The GPUs through `nvidia-smi`, by way of GPUtil: the way where NVML cannot be loaded."""

from __future__ import annotations

import math
import os
import shutil
import signal
import subprocess
import threading
from dataclasses import replace
from typing import Any

from haruon_tui.hardware.gpus import Gpu, GpuProcess, Reading

SECONDS = 1.5
"""How long `nvidia-smi` may take; a driver in trouble lets it hang."""

_MIB = 1 << 20
_DETAIL = (
    "index,power.draw,power.limit,clocks.sm,clocks.mem,compute_cap,clocks_throttle_reasons.active"
)


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
            return super().communicate(input, timeout or SECONDS)
        except subprocess.TimeoutExpired:
            _Smi.silent = True
            os.killpg(self.pid, signal.SIGKILL)
            self.wait()
            raise


_lock = threading.Lock()


def is_there() -> bool:
    """Whether there is an `nvidia-smi` on PATH."""
    return shutil.which("nvidia-smi") is not None


def read_gpus(*, detail: bool = False) -> Reading:
    """Every GPU that GPUtil finds; `detail` adds what GPUtil does not ask for."""
    with _lock:
        try:
            import GPUtil.GPUtil

            GPUtil.GPUtil.Popen = _Smi
            gpus = [_from_gputil(found) for found in GPUtil.GPUtil.getGPUs()]
        except Exception as error:  # noqa: BLE001 - GPUtil raises whatever its parsing ran into
            return Reading(problem=f"nvidia-smi answered something unreadable ({error})")
        if _Smi.silent:
            return Reading(problem=f"nvidia-smi did not answer within {SECONDS:g} s")
    if detail and gpus:
        more = _details()
        gpus = [replace(gpu, **more.get(gpu.index, {})) for gpu in gpus]
    return Reading(gpus, None if gpus else "nvidia-smi lists no GPU")


def read_processes(gpus: list[Gpu]) -> list[GpuProcess] | None:
    """The processes that compute on `gpus`; None when `nvidia-smi` does not tell."""
    lines = _ask("--query-compute-apps=gpu_uuid,pid,used_memory,process_name")
    if lines is None:
        return None
    index_of = {gpu.uuid: gpu.index for gpu in gpus}
    found = []
    for line in lines:
        fields = [field.strip() for field in line.split(",", 3)]
        if len(fields) == 4 and fields[0] in index_of and fields[1].isdigit():
            memory = _number(fields[2])
            found.append(
                GpuProcess(
                    index_of[fields[0]],
                    int(fields[1]),
                    int(memory * _MIB) if memory is not None else None,
                    name=fields[3].rpartition("/")[2] or None,
                )
            )
    return found


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
        uuid=found.uuid.strip() or None,
        temperature=_finite(found.temperature),
    )


def _details() -> dict[int, dict[str, Any]]:
    """What GPUtil leaves out, by index; nothing of a GPU whose line cannot be read."""
    from haruon_tui.hardware.nvml import throttle_reasons

    found: dict[int, dict[str, Any]] = {}
    for line in _ask(f"--query-gpu={_DETAIL}") or ():
        fields = [field.strip() for field in line.split(",")]
        if len(fields) != len(_DETAIL.split(",")) or not fields[0].isdigit():
            continue
        power, limit, clock, memory_clock = (_number(field) for field in fields[1:5])
        major, _, minor = fields[5].partition(".")
        known = major.isdigit() and minor.isdigit()
        found[int(fields[0])] = {
            "power": power,
            "power_limit": limit,
            "clock": clock,
            "memory_clock": memory_clock,
            "compute_capability": (int(major), int(minor)) if known else None,
            "throttle": throttle_reasons(_bits(fields[6])),
        }
    return found


def _ask(query: str) -> list[str] | None:
    """The lines that answer a query; None when there is no answer in time."""
    arguments = ["nvidia-smi", query, "--format=csv,noheader,nounits"]
    try:
        with _Smi(arguments, stdout=subprocess.PIPE) as process:
            out, _ = process.communicate()
    except (OSError, subprocess.SubprocessError):
        return None
    if process.returncode != 0:
        return None
    return [line for line in out.decode("utf-8", errors="replace").splitlines() if line.strip()]


def _bits(text: str) -> int | None:
    try:
        return int(text, 16)
    except ValueError:
        return None


def _number(text: str) -> float | None:
    try:
        return _finite(float(text))
    except ValueError:
        return None


def _finite(value: float) -> float | None:
    """GPUtil gives NaN for what nvidia-smi writes as [N/A]."""
    return value if math.isfinite(value) else None
