"""The memory estimate against the measured peak on a GPU, of a random-weight model of Qwen2-1.5B's
shape, with LoRA and QLoRA at two settings each. Without a GPU it says so."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from bench import random_model
from bench.memory_estimate import compare
from haruon_tui import profiles
from haruon_tui.hardware import architecture

CASES: tuple[tuple[int, dict[str, Any]], ...] = (
    (1024, {"batch_size": 8}),
    (2048, {"batch_size": 8, "gradient_checkpointing": True}),
    (1024, {"batch_size": 4, "method": "qlora"}),
    (1024, {"batch_size": 16, "method": "qlora"}),
)
"""Length in tokens, and the settings that differ from the profile's."""


def measure() -> dict[str, Any]:
    """MB by estimate and measured, and the largest deviation of their ratio from 1."""
    import torch

    if not torch.cuda.is_available():
        return {"skipped": "no GPU here"}
    shape = architecture.published("Qwen/Qwen2-1.5B")
    assert shape is not None
    values = profiles.values("qwen2-1.5b", "recommended")["train"]
    with tempfile.TemporaryDirectory() as folder:
        base = random_model.build(shape, Path(folder) / "base")
        torch.cuda.empty_cache()
        rows = []
        for length, changes in CASES:
            found = compare(base, shape, values | changes, length, Path(folder), "cuda")
            rows.append({"length": length, **changes, **found})
            print(json.dumps(rows[-1]), flush=True)
    return {
        "gpu": torch.cuda.get_device_name(),
        "cases": rows,
        "largest_deviation": max(abs(row["ratio"] - 1) for row in rows),
    }
