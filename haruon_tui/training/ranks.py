"""How a training is shared by several processes: what each takes, and what starts them.

One optimizer step is made of batch_size x accumulation examples, the global batch. n processes
each take accumulation / n batches of it, so that the step stays what one process would make of
it; with global_batch = "grow" each takes accumulation batches, and a step n times as many
examples. The gradient is that of the mean over all labelled tokens of the step either way.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from haruon_tui.errors import ConfigurationError
from haruon_tui.launching.command import Ranks
from haruon_tui.settings import TrainSettings


@dataclass(frozen=True)
class Share:
    """What one of `processes` does for an optimizer step: `accumulation` batches of `batch_size`
    examples, of `global_batch` in all."""

    processes: int
    batch_size: int
    accumulation: int

    @property
    def global_batch(self) -> int:
        return self.processes * self.batch_size * self.accumulation

    @property
    def words(self) -> str:
        """Such as `16 = 2 processes x 4 at once x 2 times`."""
        each = f"{self.batch_size} at once x {self.accumulation} times"
        if self.processes == 1:
            return f"{self.global_batch} = {each}"
        return f"{self.global_batch} = {self.processes} processes x {each}"


def share(wanted: TrainSettings) -> Share:
    """The share of each process. Raises ConfigurationError where the global batch cannot be kept
    in batches of this size."""
    count = wanted.processes * wanted.machines
    batch, accumulation = wanted.batch_size, wanted.accumulation
    if wanted.global_batch == "grow" or count == 1:
        return Share(count, batch, accumulation)
    if accumulation % count:
        raise ConfigurationError(
            f"{count} processes cannot share an optimizer step of {accumulation} "
            f"{'batch' if accumulation == 1 else 'batches'} of {batch} examples",
            where="train.accumulation",
            expected=f"a multiple of {count}, as each process takes as many batches",
            do=_remedy(batch * accumulation, batch, count),
        )
    return Share(count, batch, accumulation // count)


def _remedy(total: int, batch: int, count: int) -> str:
    grow = 'or global_batch = "grow", which takes more examples per step'
    if total % count:
        near = max(count, round(total / count) * count)
        size = max(n for n in range(1, batch + 1) if near % (n * count) == 0)
        return (
            f"a step of {near} examples can be shared: batch_size = {size} and accumulation = "
            f"{near // size} under [train]; {grow}"
        )
    size = max(n for n in range(1, batch + 1) if total % (n * count) == 0)
    return (
        f"batch_size = {size} and accumulation = {total // size} under [train] keep the step at "
        f"{total} examples; {grow}"
    )


def ranks(wanted: TrainSettings) -> Ranks:
    """What is to be launched. Raises ConfigurationError where the settings do not go together."""
    share(wanted)
    if wanted.machines > 1 and not wanted.main_address:
        raise ConfigurationError(
            f"{wanted.machines} machines need to know where to find the first of them",
            where="train.main_address",
            expected="its name or address, as the others reach it",
            do='main_address = "10.0.0.1" under [train]',
        )
    if wanted.strategy == "fsdp" and wanted.method == "qlora":
        raise ConfigurationError(
            "fsdp cannot shard a base in 4 bits",
            where="train.strategy",
            expected='"ddp" with method = "qlora"',
            do='strategy = "ddp", or method = "lora", under [train]',
        )
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return Ranks(
        processes=wanted.processes,
        machines=wanted.machines,
        strategy=wanted.strategy,
        address=wanted.main_address,
        port=wanted.main_port,
        threads=max(1, (cores or 1) // wanted.processes),
    )


def commands(wanted: TrainSettings, work: Path) -> list[list[str]]:
    """What each machine has to run, the first one's command first. `work` is the folder of the
    run, or of the workspace, for which rank 0 then makes a run. Empty where one process trains.

    Raises ConfigurationError.
    """
    launched = ranks(wanted)
    if launched.total == 1:
        return []
    return [launched.command(machine, [str(work)]) for machine in range(wanted.machines)]
