"""The processes that train together, seen from one of them.

This module imports torch and accelerate; only a stage that trains imports it.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from accelerate import PartialState
from accelerate.utils import gather_object

from haruon_tui import __version__
from haruon_tui.errors import StageError
from haruon_tui.jobs.context import JobContext
from haruon_tui.launching.supervise import AGAIN
from haruon_tui.launching.world import World
from haruon_tui.model import compute
from haruon_tui.settings import TrainSettings
from haruon_tui.training.ranks import share

_COMPARED = ("torch", "transformers", "trl", "peft", "accelerate", "datasets", "tokenizers")

Environment = dict[str, str]
"""The versions on one machine by name, and the name of the `host`."""


@dataclass(frozen=True)
class Team:
    """`state` is None where one process trains alone."""

    state: PartialState | None

    @classmethod
    def gather(cls, wanted: TrainSettings, job: JobContext) -> Team:
        """Meet the others. Raises StageError where there are more or fewer than the settings say,
        or where their machines have other versions of what computes."""
        world = World.here()
        if not world.launched:
            return cls(None)
        count = share(wanted).processes
        if world.size != count:
            raise StageError(
                f"{world.size} processes were launched, and the settings share the work among "
                f"{count}",
                where="train.processes x train.machines",
                expected=f"--num_processes={count}",
                do="take the command as haruon train --commands prints it",
            )
        job.progress(0, 1, phase="waiting for the other processes", unit="processes")
        state = PartialState(cpu=compute.device() == "cpu")
        require_equal(gather_object([environment()]))
        return cls(state)

    @property
    def leads(self) -> bool:
        """Whether this process writes what is to be written once."""
        return self.state is None or bool(self.state.is_main_process)

    @contextmanager
    def first_alone(self) -> Iterator[None]:
        """The body runs in the leading process first, then in the others."""
        if self.state is None:
            yield
            return
        with self.state.main_process_first():
            yield

    def start_again(self, job: JobContext) -> None:
        """Where there are others, end this process, so that all are started anew. Raises
        StageError."""
        if self.state is not None:
            job.writer.write(AGAIN)
            raise StageError(
                "out of memory: the processes start again with smaller batches",
                do=f"haruon jobs resume {job.id}, where they were started by hand",
            ) from None


def environment() -> Environment:
    """What has to be the same on all machines."""
    found = {"python": platform.python_version(), "haruon-tui": __version__}
    for name in _COMPARED:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "none"
    return {"host": os.uname().nodename, **found}


def require_equal(environments: Sequence[Environment]) -> None:
    """`environments` are by rank. Raises StageError that names what differs from rank 0's."""
    first = environments[0]
    for rank, other in enumerate(environments):
        differing = [
            f"{name} {other.get(name)} instead of {first.get(name)}"
            for name in sorted(first.keys() | other.keys())
            if name != "host" and first.get(name) != other.get(name)
        ]
        if differing:
            raise StageError(
                f"rank {rank} on {other['host']} has {', '.join(differing)}",
                where=f"the Python environment on {other['host']}",
                expected=f"the versions that rank 0 on {first['host']} has",
                do="install the same constraints.txt on every machine, then resume",
            )
