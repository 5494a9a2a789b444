"""A large JSONL dataset for measurements: Korean records, each with an id of its own."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

from haruon_tui.dataset import golden, records

_VARIANTS = 3000


def make(path: Path, size: int) -> int:
    """Write records to `path` until it has `size` bytes; returns how many."""
    golden_records = [line.record for line in records.read(golden.reports_file())]  # type: ignore[union-attr]
    mix = random.Random(7)
    variants = []
    for _ in range(_VARIANTS):
        parts = [mix.choice(golden_records)["messages"] for _ in range(3)]
        messages = [chosen[place] for place, chosen in enumerate(parts)]
        line = json.dumps({"messages": messages, "metadata": {"id": "@"}}, ensure_ascii=False)
        variants.append(line.encode() + b"\n")
    count = 0
    with path.open("wb") as out:
        while out.tell() < size:
            for line in variants:
                out.write(line.replace(b'"@"', b'"big-%08d"' % count, 1))
                count += 1
        out.flush()
        os.fsync(out.fileno())  # else the system still writes while something is measured
    return count
