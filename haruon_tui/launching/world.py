"""What a process knows of the others that train with it: its rank, and how many there are.

torch's launcher (torchrun, and so `accelerate launch`) says it in the environment: RANK,
WORLD_SIZE, LOCAL_RANK and LOCAL_WORLD_SIZE (docs.pytorch.org/docs/stable/elastic/run.html).
"""

from __future__ import annotations

import os
from dataclasses import dataclass

SUPERVISED = "HARUON_SUPERVISED"
"""Set to the attempt for ranks that a job has started: they listen to it on their stdin, and it
writes the run's log."""


@dataclass(frozen=True)
class World:
    """`local_size` is the number of processes on this machine."""

    rank: int
    size: int
    local_size: int

    @classmethod
    def here(cls) -> World:
        """That of this process; one of one where no launcher has started it."""
        if "RANK" not in os.environ or "WORLD_SIZE" not in os.environ:
            return cls(0, 1, 1)
        size = int(os.environ["WORLD_SIZE"])
        return cls(
            int(os.environ["RANK"]), size, int(os.environ.get("LOCAL_WORLD_SIZE", str(size)))
        )

    @property
    def launched(self) -> bool:
        """Whether a launcher has started this process."""
        return "RANK" in os.environ

    @property
    def leads(self) -> bool:
        """Whether this is the process that speaks for all."""
        return self.rank == 0
