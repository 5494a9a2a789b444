"""Which device a job takes: one queue for each GPU, one for the CPU.

A GPU has the number that NVML and nvidia-smi give it, the order of the PCI bus. CUDA counts in
that order only when CUDA_DEVICE_ORDER says so; what a job sees is set by `see_only`.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Collection, Mapping, Sequence

from haruon_tui.errors import ConfigurationError
from haruon_tui.hardware.gpus import Gpu, read_gpus
from haruon_tui.jobs.tickets import QUIET
from haruon_tui.settings import HardwareSettings
from haruon_tui.stage import Device

CPU = "cpu"
_VISIBLE = "CUDA_VISIBLE_DEVICES"


def devices_for(
    device: Device,
    hardware: HardwareSettings,
    queues: Mapping[str, Collection[str]],
    count: int = 1,
) -> tuple[str, ...]:
    """The ticket's device names: empty for none, `gpu<N>` for each of `count`, `cpu`, or `quiet`.

    `queues` has the jobs that hold or wait for each device. Raises ConfigurationError when the
    GPUs that the settings name are not there, or are too few.
    """
    match device:
        case "none":
            return ()
        case "cpu":
            return (CPU,)
        case "quiet":
            return (QUIET,)
        case "accelerator":
            return accelerators(hardware, queues, count)


def accelerators(
    hardware: HardwareSettings, queues: Mapping[str, Collection[str]], count: int
) -> tuple[str, ...]:
    """The GPUs with the shortest queues, of these those with most free memory, as `gpu<N>`;
    `cpu` where no GPU may be used. Raises ConfigurationError as `devices_for` does."""
    if platform.system() == "Darwin" and platform.machine() == "arm64":
        return ("gpu0",)
    allowed = allowed_gpus(hardware)
    if not allowed:
        return (CPU,)
    if len(allowed) < count:
        raise ConfigurationError(
            f"{count} processes need a GPU each, and {len(allowed)} may be used here",
            where="train.processes",
            expected=f"at most {len(allowed)}",
            do=f"processes = {len(allowed)} under [train], or more machines; "
            "gpus = [] under [hardware] takes the CPU",
        )

    def preference(gpu: Gpu) -> tuple[int, int, int]:
        free = gpu.memory_free
        return len(queues.get(name_of(gpu), ())), -(free if free is not None else -1), gpu.index

    chosen = sorted(allowed, key=preference)[:count]
    return tuple(name_of(gpu) for gpu in sorted(chosen, key=lambda gpu: gpu.index))


def name_of(gpu: Gpu) -> str:
    """The GPU's name on tickets."""
    return f"gpu{gpu.index}"


def allowed_gpus(hardware: HardwareSettings) -> list[Gpu]:
    """The GPUs that jobs may use now: those of `hardware.gpus` that CUDA_VISIBLE_DEVICES leaves.

    Raises ConfigurationError when `hardware.gpus` names one that is not there or not visible.
    """
    reading = read_gpus()
    gpus = reading.gpus
    if reading.problem:
        # CUDA may work all the same; what the user has named is then taken at their word.
        named = _numbers(os.environ.get(_VISIBLE, ""))
        wanted = named if hardware.gpus == "auto" else hardware.gpus
        gpus = [Gpu(index, f"GPU {index}") for index in wanted]
    visible = visible_gpus(gpus)
    if hardware.gpus == "auto":
        return visible
    numbers = {gpu.index for gpu in visible}
    if missing := [index for index in hardware.gpus if index not in numbers]:
        hidden = set(missing) <= {gpu.index for gpu in gpus}
        why = f"hidden by {_VISIBLE}={os.environ.get(_VISIBLE)}" if hidden else "not there"
        raise ConfigurationError(
            f"GPU {', '.join(map(str, missing))} is {why}",
            where="hardware.gpus",
            expected=f"numbers among {sorted(numbers)}" if numbers else '"auto", or []',
            do='set gpus = "auto" under [hardware], or choose with g on the Hardware screen',
        )
    return [gpu for gpu in visible if gpu.index in hardware.gpus]


def visible_gpus(gpus: Sequence[Gpu]) -> list[Gpu]:
    """What CUDA_VISIBLE_DEVICES leaves of `gpus`: numbers, or the beginnings of UUIDs. Like CUDA,
    this stops at the first entry that is none of them (CUDA C++ Programming Guide, "CUDA
    Environment Variables")."""
    chosen = os.environ.get(_VISIBLE)
    if chosen is None:
        return list(gpus)
    found: list[Gpu] = []
    for entry in (part.strip() for part in chosen.split(",")):
        match = next((gpu for gpu in gpus if _is_named(gpu, entry)), None)
        if match is None:
            break
        found.append(match)
    return found


def see_only(devices: Collection[str], device: Device) -> None:
    """Let this process see its ticket's GPUs and no other; call it before CUDA starts.

    A job for the accelerator whose ticket is for the CPU sees none. Others are left alone.
    """
    numbers = [name.removeprefix("gpu") for name in devices if name.startswith("gpu")]
    if numbers or device == "accelerator":
        os.environ["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
        os.environ[_VISIBLE] = ",".join(numbers)


def _is_named(gpu: Gpu, entry: str) -> bool:
    if entry.startswith("GPU-"):
        return (gpu.uuid or "").startswith(entry)
    return entry == str(gpu.index)


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",") if part.strip().isdigit()]
