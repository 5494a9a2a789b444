"""Everything that is known of this machine before a run: the checks and the memory estimate."""

from __future__ import annotations

import socket
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from haruon_tui.hardware.checks import SECONDS, check_machine
from haruon_tui.hardware.deadline import Once
from haruon_tui.hardware.gpus import Reading, read_gpus
from haruon_tui.hardware.memory_plan import MemoryPlan, plan_memory
from haruon_tui.hardware.row import Row
from haruon_tui.settings import Settings

FORMAT = 1
"""Of the JSON document; another number says that a key changed its meaning or is gone."""


@dataclass(frozen=True)
class Examination:
    """`memory` is None where the base's architecture is not known yet."""

    profile: str
    rows: list[Row]
    memory: MemoryPlan | None

    @property
    def can_run(self) -> bool:
        return all(row.verdict != "fails" for row in self.rows)

    def as_dict(self) -> dict[str, Any]:
        """What `haruon doctor --json` prints and hardware.json holds (docs/hardware.md)."""
        return {
            "format": FORMAT,
            "host": socket.gethostname(),
            "profile": self.profile,
            "can_run": self.can_run,
            "verdicts": dict(Counter(row.verdict for row in self.rows)),
            "rows": [row.as_dict() for row in self.rows],
            "memory": self.memory.as_dict() if self.memory else None,
        }


def examine(settings: Settings, workspace: Path, seconds: float = SECONDS) -> Examination:
    """Check the machine for `settings` and estimate the memory of their training. Takes
    `seconds` at most, and reads the GPUs once."""
    reading = Once(read_gpus)
    rows = check_machine(settings, workspace, reading, seconds)
    gpus = reading.within(0) or Reading(problem="no answer in time")
    return Examination(settings.profile, rows, plan_memory(settings, gpus))
