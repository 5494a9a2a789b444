"""Which records a person accepts or rejects, and why: a file beside the dataset.

`NAME.review.jsonl` is only ever appended to and synced; the last line about a record counts, and
a torn last line does not. A decision holds while its line has the same content.

    {"line": number from 1, "sha256": of the line, "decision": "accept" | "reject" | "none",
     "reason": text, "t": Unix seconds}
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from haruon_tui.dataset import records

DECISIONS = ("accept", "reject", "none")


@dataclass(frozen=True)
class Decision:
    decision: str
    reason: str
    sha256: str


class Review:
    """The decisions about one file, by line from 0."""

    def __init__(self, source: Path) -> None:
        self.path = source.with_name(f"{source.name}.review.jsonl")
        self.decisions: dict[int, Decision] = {}

    def load(self) -> None:
        """Read what was decided. Raises ConfigurationError when it cannot be read."""
        self.decisions = {}
        if not self.path.exists():
            return
        for line in records.read(self.path):
            if isinstance(line, records.Line):
                self._take(line.record)

    def decide(self, line: int, sha256: str, decision: str, reason: str = "") -> None:
        """Write a decision down. Raises OSError."""
        said = {
            "line": line + 1,
            "sha256": sha256,
            "decision": decision,
            "reason": reason,
            "t": round(time.time(), 3),
        }
        with self.path.open("ab+") as stream:
            if stream.tell():
                stream.seek(-1, os.SEEK_END)
                torn = stream.read(1) != b"\n"
                stream.write(b"\n" if torn else b"")
            stream.write(json.dumps(said, ensure_ascii=False).encode("utf-8", "replace") + b"\n")
            stream.flush()
            os.fsync(stream.fileno())
        self._take(said)

    def drop_stale(self, sha256_of: Callable[[int], str | None]) -> int:
        """Forget decisions whose line has other content by now (`sha256_of` tells, None where
        there is no such line); returns how many. They stay in the file."""
        stale = [line for line, said in self.decisions.items() if said.sha256 != sha256_of(line)]
        for line in stale:
            del self.decisions[line]
        return len(stale)

    def _take(self, said: records.Record) -> None:
        line, decision = said.get("line"), said.get("decision")
        if not isinstance(line, int) or decision not in DECISIONS:
            return
        if decision == "none":
            self.decisions.pop(line - 1, None)
        else:
            self.decisions[line - 1] = Decision(
                decision, str(said.get("reason", "")), str(said.get("sha256", ""))
            )
