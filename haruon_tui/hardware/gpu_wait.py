"""Waiting until a job's GPU has enough free memory, and saying for what."""

from __future__ import annotations

from typing import TYPE_CHECKING

from haruon_tui.errors import HaruonError
from haruon_tui.hardware.gpus import Gpu, GpuProcess, read_gpus, read_processes
from haruon_tui.hardware.needs import GIB
from haruon_tui.workspace import FILE_NAME, Workspace

if TYPE_CHECKING:
    from haruon_tui.jobs.context import JobContext

POLL_SECONDS = 2.0
_NEWS_BYTES = GIB // 2
_SHOWN_HOLDERS = 4


def memory_of(job: JobContext) -> int | None:
    """Bytes that the GPU of the job's ticket has in all; None without one, or where its driver
    does not tell."""
    number = _number(job)
    if number is None:
        return None
    gpu = next((one for one in read_gpus().gpus if str(one.index) == number), None)
    return gpu.memory_total if gpu else None


def wait_for_memory(job: JobContext, needed: int) -> None:
    """Return when the GPU of the job's ticket has `needed` bytes free.

    It does not wait where that cannot be known or will never be, nor when
    `hardware.wait_for_memory` is false; setting that to false ends a wait that is under way.
    What is waited for goes to the log, again when that changes. Raises Stopped.
    """
    number = _number(job)
    if number is None or not job.wait_for_memory:
        return
    said: tuple[int, frozenset[int]] | None = None
    while True:
        job.raise_if_stopped()
        reading = read_gpus()
        gpu = next((one for one in reading.gpus if str(one.index) == number), None)
        free = gpu.memory_free if gpu else None
        if gpu is None or free is None:
            why = reading.problem or "the driver does not tell"
            job.log(f"the free memory of GPU {number} is unknown ({why}): not waiting", "warning")
            return
        if free >= needed:
            if said:
                job.log(f"GPU {number} has {gib(free)} free now")
            return
        if gpu.memory_total is not None and gpu.memory_total < needed:
            job.log(
                f"by estimate this takes {gib(needed)}, and GPU {number} has "
                f"{gib(gpu.memory_total)}: it may run out of memory (haruon doctor says what "
                "fits)",
                "warning",
            )
            return
        if said and not _wanted(job):
            job.log("no longer waits for memory: hardware.wait_for_memory is false", "warning")
            return
        holders = [one for one in read_processes([gpu]) or [] if one.gpu_index == gpu.index]
        now = (free // _NEWS_BYTES, frozenset(one.pid for one in holders))
        if now != said:
            said = now
            job.log(waiting_text(gpu, needed, holders))
        job.progress(free / GIB, needed / GIB, phase="waiting for GPU memory", unit="GiB")
        job.stop.wait(POLL_SECONDS)


def waiting_text(gpu: Gpu, needed: int, holders: list[GpuProcess]) -> str:
    """What the job waits for, and who holds it."""
    free = gib(gpu.memory_free or 0)
    return (
        f"waits until GPU {gpu.index} ({gpu.name}) has {gib(needed)} free: {free} now; "
        f"{holders_text(holders)}"
    )


def holders_text(holders: list[GpuProcess]) -> str:
    """`held by pid 41 python (kim) 3.0 GiB, …`, most memory first."""
    if not holders:
        return "the driver names no process that holds it"
    shown = ", ".join(map(holder_text, holders[:_SHOWN_HOLDERS]))
    more = len(holders) - _SHOWN_HOLDERS
    return f"held by {shown}{f' and {more} more' if more > 0 else ''}"


def holder_text(one: GpuProcess) -> str:
    """`pid 41 python (kim) 3.0 GiB`, without what is not known."""
    words = [f"pid {one.pid}", one.name or ""]
    words += [f"({one.user})" if one.user else "", gib(one.memory) if one.memory else ""]
    return " ".join(word for word in words if word)


def gib(amount: float) -> str:
    """Bytes as `3.4 GiB`."""
    return f"{amount / GIB:.1f} GiB"


def _number(job: JobContext) -> str | None:
    return next((name[3:] for name in job.devices if name.startswith("gpu")), None)


def _wanted(job: JobContext) -> bool:
    """What haruon.toml says now; one that is being edited changes nothing."""
    folder = job.folder.parent.parent
    if not (folder / FILE_NAME).is_file():
        return True
    try:
        return Workspace(folder).settings.hardware.wait_for_memory
    except HaruonError:
        return True
