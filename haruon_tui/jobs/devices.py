"""Which devices a stage's ticket names on this machine."""

from __future__ import annotations

import functools
import os
import platform

from haruon_tui.jobs.tickets import QUIET
from haruon_tui.stage import Device

CPU = "cpu"


def devices_for(device: Device) -> tuple[str, ...]:
    """The ticket's device names: empty for none, `gpu<N>`, `cpu`, or `quiet`."""
    match device:
        case "none":
            return ()
        case "cpu":
            return (CPU,)
        case "quiet":
            return (QUIET,)
        case "accelerator":
            return (accelerator(),)


@functools.cache
def accelerator() -> str:
    """The first visible GPU as `gpu<N>`, else `cpu`."""
    if platform.system() == "Darwin" and platform.machine() == "arm64":
        return "gpu0"
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        first = visible.split(",")[0].strip()
        return f"gpu{first}" if first and first != "-1" else CPU
    try:
        import pynvml

        pynvml.nvmlInit()
        count = pynvml.nvmlDeviceGetCount()
        pynvml.nvmlShutdown()
    except Exception:  # noqa: BLE001 - no driver, no library, a driver that answers nonsense: there is no GPU
        return CPU
    return "gpu0" if count else CPU
