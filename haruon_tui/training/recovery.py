"""What a training does where it cannot go on as it was: no memory, no disk, a loss that is none.

This module imports torch; only a stage that trains imports it.
"""

from __future__ import annotations

import errno
import gc
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from haruon_tui import artifacts
from haruon_tui.errors import StageError
from haruon_tui.hardware.architecture import Architecture
from haruon_tui.hardware.gpu_wait import gib
from haruon_tui.hardware.memory_estimate import estimate, largest_batch, on_gpu
from haruon_tui.jobs.context import JobContext
from haruon_tui.model import compute
from haruon_tui.settings import TrainSettings
from haruon_tui.training.checkpoints import Checkpoints, Progress

_BATCHES = "batches.json"

_NO_MEMORY = (
    "can't allocate memory",  # torch's allocator on a CPU
    "Cannot allocate memory",  # what the system says of a file that is to be mapped
    "backend out of memory",  # MPS
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDA error: out of memory",
)

_FULL_BYTES = 1 << 20
"""A disk on which a write has failed is full when it has less than this free."""

_BYTES_PER_TRAINED = 12
"""A weight and AdamW's two moments in fp32."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device or the machine had too little memory; not every backend has an error of
    its own for it."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in _NO_MEMORY)


def smaller_batches(
    wanted: TrainSettings, error: BaseException, job: JobContext, checkpoints: Checkpoints
) -> TrainSettings:
    """Settings with at most half the examples on the device at once and as many per optimizer
    step, which are said in the log and remembered for the attempts after this one.

    Raises StageError where the settings do not allow it or one example is too much.
    """
    total = wanted.batch_size * wanted.accumulation
    reason = str(error).strip().split("\n")[0][:200] or type(error).__name__
    if wanted.on_out_of_memory == "fail" or wanted.batch_size == 1:
        raise StageError(
            f"out of memory with {_examples(wanted.batch_size)} at once: {reason}",
            where="train.batch_size",
            do=_remedy(wanted),
        ) from None
    # as many batches per step as its processes can share
    each = wanted.processes * wanted.machines if wanted.global_batch == "keep" else 1
    sizes = range(1, wanted.batch_size // 2 + 1)
    batch = max(size for size in sizes if total % (size * each) == 0)
    smaller = wanted.model_copy(update={"batch_size": batch, "accumulation": total // batch})
    newest = checkpoints.newest()
    job.log(
        f"out of memory with {_examples(wanted.batch_size)} at once: now {batch} at once, "
        f"{smaller.accumulation} times per optimizer step, which stays at {total}; going "
        + (f"on from step {newest.step}" if newest else "back to the start")
        + f" ({reason})",
        "warning",
    )
    _change(wanted, smaller, job, newest.step if newest else 0, "out of memory")
    return smaller


def batches_that_fit(
    wanted: TrainSettings, architecture: Architecture, longest: int, room: int, job: JobContext
) -> TrainSettings:
    """The settings, or such with fewer examples of `longest` tokens at once where by estimate a
    GPU of `room` bytes does not hold as many: said in the log, and remembered."""
    sized = on_gpu(wanted.model_copy(update={"max_length": longest}), compute.capability())
    if wanted.on_out_of_memory == "fail" or estimate(architecture, sized).total <= room:
        return wanted
    batch = largest_batch(architecture, sized, room, "cuda")
    if batch is None:
        return wanted
    total = wanted.batch_size * wanted.accumulation
    smaller = wanted.model_copy(update={"batch_size": batch, "accumulation": total // batch})
    job.log(
        f"by estimate the GPU's {gib(room)} do not hold {_examples(wanted.batch_size)} of "
        f"{longest} tokens at once: {batch} at once, {smaller.accumulation} times per optimizer "
        f"step, which stays at {total}"
    )
    _change(wanted, smaller, job, 0, "memory of the GPU")
    return smaller


def _change(
    wanted: TrainSettings, smaller: TrainSettings, job: JobContext, step: int, why: str
) -> None:
    names = ("batch_size", "accumulation")
    changed = {name: (getattr(wanted, name), getattr(smaller, name)) for name in names}
    job.changed(step, why, changed)
    artifacts.write_json(job.scratch / _BATCHES, {name: now for name, (_, now) in changed.items()})


def remembered(wanted: TrainSettings, scratch: Path) -> TrainSettings:
    """The settings with the smaller batches that an earlier attempt needed, where one did."""
    try:
        batches = json.loads((scratch / _BATCHES).read_text("utf-8"))
    except FileNotFoundError:
        return wanted
    return wanted.model_copy(update=batches)


def release_memory() -> None:
    """Give back what a training held that is not referred to any more."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()


def require_finite_weights(model: Any, step: int, checkpoints: Checkpoints) -> None:
    """Raise StageError where a trained weight is NaN or infinite, as after a last step that was
    too long: what is saved is then of no use, whatever the loss before it was."""
    if not all(bool(torch.isfinite(one).all()) for one in model.parameters() if one.requires_grad):
        raise diverged_error(f"after step {step} weights are NaN or infinite", checkpoints)


def diverged_error(what: str, checkpoints: Checkpoints) -> StageError:
    """What there is to say of numbers that are NaN or infinite."""
    newest = checkpoints.newest()
    kept = (
        f"the last good checkpoint, of step {newest.step}, is kept in "
        f"{checkpoints.path(newest.step)}"
        if newest
        else "no checkpoint had been written before it"
    )
    return StageError(
        f"{what}: training has stopped, {kept}",
        where="train.learning_rate",
        expected="finite numbers",
        do="lower learning_rate, add warmup or lower max_grad_norm under [train]; with precision "
        '= "fp16", take bf16 or fp32',
    )


def make_room(
    checkpoints: Checkpoints, progress: Progress, keep: int, model: Any, job: JobContext
) -> None:
    """Remove old checkpoints where the disk has no room for the next one, never the best one;
    say so, and say ahead that it will come to that."""
    trained = sum(each.numel() for each in model.parameters() if each.requires_grad)
    room = checkpoints.make_room(keep, progress.best_step, trained * _BYTES_PER_TRAINED)
    sizes = f"{gib(room.free)} are free, a checkpoint takes {gib(room.next)}"
    for step in room.removed:
        job.log(f"the disk is nearly full: checkpoint {step} removed; {sizes}", "warning")
    if room.short:
        job.log(f"the disk has no room for the next checkpoint: {sizes}", "warning")
    elif room.soon_short and not checkpoints.warned:
        checkpoints.warned = True
        job.log(
            f"the disk will be full: {sizes}, and {keep} and the best one are to be kept. The "
            "oldest are removed when it comes to that; train.keep_checkpoints keeps fewer",
            "warning",
        )


@contextmanager
def saving(checkpoints: Checkpoints) -> Iterator[None]:
    """Write a checkpoint in the body. Raises OSError where the disk is full, which PyTorch's own
    writer does not say. What was written is removed, so that there is room to say anything."""
    try:
        yield
    except Exception as error:
        free = shutil.disk_usage(checkpoints.folder).free
        artifacts.remove(checkpoints.unfinished)
        if free < _FULL_BYTES and not isinstance(error, OSError):
            where = str(checkpoints.folder)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), where) from error
        raise


def _examples(count: int) -> str:
    return "1 example" if count == 1 else f"{count} examples"


def _remedy(wanted: TrainSettings) -> str:
    ways = []
    if wanted.batch_size > 1:
        ways.append('on_out_of_memory = "smaller batches"')
    if not wanted.gradient_checkpointing:
        ways.append("gradient_checkpointing = true")
    ways.append(f"a max_length below {wanted.max_length}")
    if wanted.method == "full":
        ways.append('method = "lora"')
    elif wanted.method != "qlora":
        ways.append('method = "qlora"')
    return f"under [train]: {', or '.join(ways)}; then haruon train again"
