"""Stage "selftest": what the devices, the memory and the disk of this machine really do.

Matrix products per device in fp32 and bf16, memory bandwidth as STREAM counts it (McCalpin,
https://www.cs.virginia.edu/stream/ref.html: copy moves two arrays, triad a = b + s·c three), and
writing to the workspace's disk with fsync. Each value is the best of several repetitions.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from haruon_tui import artifacts, stage
from haruon_tui.hardware import peaks

if TYPE_CHECKING:
    import torch

    from haruon_tui.jobs.context import JobContext

_MATRIX = {"cuda": 8192, "mps": 4096, "cpu": 2048}
_BATCH_SECONDS = 0.05
_CHUNK = 8 << 20


class Params(stage.Params):
    """`seconds` for each measurement; the rest bounds what it may take in bytes."""

    seconds: float = Field(1.0, gt=0, le=60)
    array_bytes: int = Field(256 << 20, ge=1 << 20)
    disk_bytes: int = Field(1 << 30, ge=1 << 20)


class Measured(stage.Params):
    """One figure. `peak` in the same unit, None where it is not known; `note` says where it is
    from; `problem` why there is no value."""

    device: str
    what: str
    unit: str
    value: float | None = None
    peak: float | None = None
    note: str = ""
    problem: str = ""

    @property
    def share(self) -> float | None:
        """Of the peak, 0 to 1 and, where an estimated peak is too low, more."""
        return self.value / self.peak if self.value is not None and self.peak else None


class Result(stage.Result):
    measured: list[Measured]


def run(params: Params, job: JobContext) -> Result:
    """Measure one thing after the other and write selftest.json. A device that cannot do one of
    them says so in its place. Raises Stopped."""
    from haruon_tui.hardware.processor import processor_name

    job.progress(0, 1, phase="loading torch")
    os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")  # as nvidia-smi counts
    cores = _use_allowed_cores()
    steps = list(_steps(params, job, f"CPU ({processor_name()})", cores))
    measured: list[Measured] = []
    for number, (about, measure) in enumerate(steps):
        job.raise_if_stopped()
        job.progress(number, len(steps), phase=f"{about.device}: {about.what}", unit="tests")
        found = _try(about, measure)
        measured.append(found)
        job.log(line(found), "warning" if found.problem else "info")
    job.progress(len(steps), len(steps), phase="done", unit="tests")
    with job.artifact("selftest.json") as temporary:
        artifacts.write_json(temporary, [one.model_dump(mode="json") for one in measured])
    failed = sum(bool(one.problem) for one in measured)
    words = "; ".join(_short(one) for one in measured if one.value is not None)
    return Result(
        summary=f"{words}{f'; {failed} could not be measured' if failed else ''}",
        measured=measured,
    )


def line(one: Measured) -> str:
    """`GPU 0 (NVIDIA A100): matrix product bf16 251 TFLOP/s, 80 % of 312 (source)`."""
    if one.value is None:
        return f"{one.device}: {one.what}: N/A ({one.problem})"
    text = f"{one.device}: {one.what} {figure(one.value)} {one.unit}"
    if one.share is not None and one.peak is not None:
        text += f", {one.share:.0%} of {figure(one.peak)}"
    return f"{text} ({one.note})" if one.note else text


def figure(value: float) -> str:
    """Three figures that say something: `251`, `12.3`, `0.184`."""
    digits = 0 if value >= 100 else 1 if value >= 10 else 2 if value >= 1 else 3
    return f"{value:.{digits}f}"


def _short(one: Measured) -> str:
    return f"{one.device.split(' (')[0]} {one.what} {figure(one.value or 0)} {one.unit}"


Step = tuple[Measured, Callable[[], float]]


def _steps(params: Params, job: JobContext, cpu: str, cores: int) -> Iterator[Step]:
    import torch

    devices = [("cpu", cpu, peaks.of_cpu(cores))]
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            name = torch.cuda.get_device_name(index)
            devices.append((f"cuda:{index}", f"GPU {index} ({name})", peaks.of_gpu(name)))
    elif torch.backends.mps.is_available():
        devices.append(("mps", f"GPU ({cpu})", peaks.Peaks()))
    for device, title, peak in devices:
        for what, dtype, most in (
            ("fp32", torch.float32, peak.fp32),
            ("bf16", torch.bfloat16, peak.bf16),
        ):
            about = _about(title, f"matrix product {what}", "TFLOP/s", most, peak.source)
            yield about, lambda d=device, t=dtype: _matrix(d, t, params, job)  # type: ignore[misc]
        for what in ("copy", "triad"):
            about = _about(title, f"memory {what}", "GB/s", peak.memory, peak.source)
            yield about, lambda d=device, w=what: _memory(d, w, params, job)  # type: ignore[misc]
    about = _about("disk", "writing with fsync", "MB/s", None, "")
    yield about, lambda: _disk(job.scratch, params, job)


def _about(device: str, what: str, unit: str, peak: float | None, source: str) -> Measured:
    note = source if peak is not None else ""
    return Measured(device=device, what=what, unit=unit, peak=peak, note=note)


def _try(about: Measured, measure: Callable[[], float]) -> Measured:
    from haruon_tui.errors import Stopped

    try:
        return about.model_copy(update={"value": measure()})
    except Stopped:
        raise
    except Exception as error:  # noqa: BLE001 - out of memory, no such kernel, a full disk
        return about.model_copy(update={"problem": f"{type(error).__name__}: {error}"[:200]})


def _matrix(device: str, dtype: torch.dtype, params: Params, job: JobContext) -> float:
    """TFLOP/s: 2·n³ operations per product of two n x n matrices."""
    import torch

    size = _MATRIX[device.partition(":")[0]]
    left, right = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    out = torch.empty_like(left)
    seconds = _best(lambda: torch.mm(left, right, out=out), device, params.seconds, job)
    return 2 * size**3 / seconds / 1e12


def _memory(device: str, what: str, params: Params, job: JobContext) -> float:
    """GB/s. What a processor reads in order to write (write-allocate) is not counted."""
    import torch

    count = params.array_bytes // 4
    a, b, c = (torch.ones(count, device=device) for _ in range(3))
    if what == "copy":
        seconds = _best(lambda: a.copy_(b), device, params.seconds, job)
        return 2 * 4 * count / seconds / 1e9
    seconds = _best(lambda: torch.add(b, c, alpha=3.0, out=a), device, params.seconds, job)
    return 3 * 4 * count / seconds / 1e9


def _best(work: Callable[[], Any], device: str, budget: float, job: JobContext) -> float:
    """Seconds of one call in the fastest batch of calls. Raises Stopped between batches."""
    work()
    _wait(device)
    calls, best = 1, float("inf")
    deadline = time.monotonic() + budget
    while best == float("inf") or time.monotonic() < deadline:
        job.raise_if_stopped()
        started = time.perf_counter()
        for _ in range(calls):
            work()
        _wait(device)
        taken = time.perf_counter() - started
        best = min(best, taken / calls)
        if taken < _BATCH_SECONDS:  # starting and waiting must not count
            calls = min(1000, max(calls + 1, round(calls * _BATCH_SECONDS / max(taken, 1e-6))))
    return best


def _wait(device: str) -> None:
    import torch

    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
    elif device == "mps":
        torch.mps.synchronize()


def _disk(folder: Path, params: Params, job: JobContext) -> float:
    """MB/s of a file of bytes that no disk can compress, fsync at its end included. Takes a tenth
    of the free space at most; leaves nothing."""
    free = os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize
    most = min(params.disk_bytes, free // 10)
    block = os.urandom(min(_CHUNK, max(1, most)))
    file = folder / "written"
    written = 0
    try:
        with file.open("wb", buffering=0) as out:
            started = time.perf_counter()
            while not written or (
                written < most and time.perf_counter() - started < 3 * params.seconds
            ):
                job.raise_if_stopped()
                written += out.write(block)
            os.fsync(out.fileno())
        return written / (time.perf_counter() - started) / 1e6
    finally:
        file.unlink(missing_ok=True)


def _use_allowed_cores() -> int:
    """As many threads as the affinity and the quota allow, and how many these are."""
    import math

    import torch

    from haruon_tui.hardware.processor import usable_cores

    threads = max(1, math.ceil(usable_cores()[0]))
    torch.set_num_threads(threads)
    return threads
