"""The checks, the self-test and NVML's readings on this machine, held against what torch says.

Needs torch and pydantic; psutil and nvidia-ml-py for the checks. No Textual, no trl, no
llama-cpp-python, no GPUtil: `PYTHONPATH=. python -m bench gpu_checks` runs beside a foreign torch.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from haruon_tui.hardware.gpus import Gpu, read_gpus, read_processes
from haruon_tui.hardware.monitor import Monitor, Sample

_EVERY_SECONDS = 0.25
_READ = ("memory_used", "utilisation", "temperature", "power", "clock", "memory_clock")


def measure() -> dict[str, Any]:
    """One document; a part that cannot be had says why in its place."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ.setdefault("HARUON_CACHE_DIR", str(Path(folder) / "cache"))
        parts = {
            "doctor": lambda: _doctor(Path(folder)),
            "readings": _readings,
            "nvidia_smi": _nvidia_smi,
            "self_test": lambda: _self_test(Path(folder)),
            "after": _against_torch,
        }
        return {name: _part(part) for name, part in parts.items()}


def _part(part: Any) -> Any:
    try:
        return part()
    except Exception as error:  # noqa: BLE001 - the other parts are wanted all the same
        return {"problem": f"{type(error).__name__}: {error}"}


def _doctor(folder: Path) -> dict[str, Any]:
    """`haruon doctor --json` for three recipes, with the seconds that each took."""
    from haruon_tui.hardware.examination import examine
    from haruon_tui.settings import build

    found = {}
    for recipe in ("recommended", "guide-lora", "guide-qlora"):
        settings = build({"profile": "qwen2-1.5b", "train": {"recipe": recipe}})
        started = time.monotonic()
        document = examine(settings, folder).as_dict()
        found[recipe] = {"seconds": round(time.monotonic() - started, 2), **document}
    return found


def _readings() -> dict[str, Any]:
    """What one look gives, and what looking costs."""
    reading = read_gpus(detail=True)
    started = time.perf_counter()
    for _ in range(20):
        read_gpus(detail=True)
    milliseconds = (time.perf_counter() - started) / 20 * 1000
    return {
        "problem": reading.problem,
        "gpus": [vars(gpu) for gpu in reading.gpus],
        "milliseconds_a_look": round(milliseconds, 2),
    }


def _nvidia_smi() -> dict[str, Any]:
    """The other way to the same figures, without GPUtil where that is not installed."""
    from haruon_tui.hardware import nvidia_smi

    if not nvidia_smi.is_there():
        return {"problem": "no nvidia-smi"}
    gpus = read_gpus().gpus
    held = nvidia_smi.read_processes(gpus)
    return {
        "details": nvidia_smi._details(),
        "processes": None if held is None else [vars(one) for one in held],
        "by_gputil": [vars(gpu) for gpu in nvidia_smi.read_gpus().gpus],
    }


def _self_test(folder: Path) -> dict[str, Any]:
    """Its figures, and what the monitor saw of the GPUs meanwhile."""
    from haruon_tui.hardware import self_test
    from haruon_tui.jobs.context import JobContext

    seen: list[Sample] = []
    done = threading.Event()

    def watch() -> None:
        watching = Monitor(gpu_seconds=0)
        watching.detail = True
        while not done.wait(_EVERY_SECONDS):
            seen.append(watching.sample())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        started = time.monotonic()
        result = self_test.run(self_test.Params(), JobContext.local(folder / "run"))
    finally:
        done.set()
        watcher.join()
    return {
        "seconds": round(time.monotonic() - started, 1),
        "summary": result.summary,
        "measured": [
            one.model_dump() | {"share": one.share and round(one.share, 3)}
            for one in result.measured
        ],
        "watched": _watched([sample.gpus for sample in seen if sample.gpus]),
    }


def _watched(samples: list[list[Gpu]]) -> dict[str, Any]:
    """The lowest and the highest of every reading of the first GPU."""
    first = [gpus[0] for gpus in samples]
    found: dict[str, Any] = {"samples": len(first)}
    for name in _READ:
        values = [value for gpu in first if (value := getattr(gpu, name)) is not None]
        found[name] = [min(values), max(values)] if values else "N/A"
    found["throttle"] = sorted({reason for gpu in first for reason in gpu.throttle or ()})
    return found


def _against_torch() -> dict[str, Any]:
    """NVML's total memory, compute capability and holder of memory beside torch's."""
    import torch

    if not torch.cuda.is_available():
        return {"torch": torch.__version__, "problem": "torch sees no GPU"}
    held = torch.ones(1 << 28, device="cuda")  # 1 GiB
    torch.cuda.synchronize()
    gpus = read_gpus(detail=True).gpus
    processes = read_processes(gpus)
    free, total = torch.cuda.mem_get_info(0)
    del held
    return {
        "torch": torch.__version__,
        "torch_cuda": torch.version.cuda,
        "capability": [gpus[0].compute_capability, torch.cuda.get_device_capability(0)],
        "memory_total": [gpus[0].memory_total, total],
        "memory_free": [gpus[0].memory_free, free],
        "pid": os.getpid(),
        "processes": None if processes is None else [vars(one) for one in processes],
    }
