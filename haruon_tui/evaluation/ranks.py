"""An evaluation's reports written by several processes, one for each GPU.

Every process cuts the cases into the same batches as one alone would and writes every n-th of
them, into a file of its own. So each text is what one process would write, and the figures, which
one process makes of all texts, are those of one.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from haruon_tui.evaluation.kept import KeptGenerations
from haruon_tui.launching.command import Ranks, shown
from haruon_tui.launching.supervise import run_ranks
from haruon_tui.launching.world import World

if TYPE_CHECKING:
    from haruon_tui.jobs.context import JobContext

_FILES = "generations-of-rank-*.jsonl"


def kept_by(scratch: Path, rank: int) -> KeptGenerations:
    """What a rank has written since its files were last taken in."""
    return KeptGenerations(scratch / _FILES.replace("*", str(rank)))


def take_in(kept: KeptGenerations, scratch: Path) -> None:
    """Move what ranks have written to where one process keeps it. What is there twice, as after a
    crash in between, counts once."""
    for path in sorted(scratch.glob(_FILES)):
        kept.take(KeptGenerations(path))
        path.unlink()


def launch(processes: int, job: JobContext) -> None:
    """Let `processes` ranks write what is missing. Raises Stopped, or StageError for the rank that
    failed; what was written stays and is taken in by the next attempt."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    ranks = Ranks(processes, threads=max(1, (cores or 1) // processes))
    command = ranks.command(0, [str(job.folder)])
    job.log(f"{processes} processes write every {_ordinal(processes)} batch: {shown(command)}")
    job.progress(0, 1, phase="starting the processes", unit="launches")
    run_ranks(job, command, processes, all_finish=True)


def use_own_gpu() -> None:
    """Compute on the GPU that has this rank's number among those of the job."""
    import torch

    world = World.here()
    if torch.cuda.is_available():
        torch.cuda.set_device(world.rank % torch.cuda.device_count())


def _ordinal(count: int) -> str:
    return {2: "second", 3: "third"}.get(count, f"{count}th")
