"""One training in a process of its own: `memory_probe.py MODEL_FOLDER SETTINGS.json LENGTH STEPS`.

Prints the peak of its memory in bytes over what was resident after the imports: of resident
memory on the CPU; on a GPU of what the card has less than before, context included.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from haruon_tui.jobs.context import JobContext
from haruon_tui.model import compute
from haruon_tui.settings import TrainSettings


def measure(model: Path, wanted: TrainSettings, length: int, steps: int) -> dict[str, Any]:
    compute.use_growing_segments()
    compute.use_allowed_cores()
    import torch
    from transformers import AutoTokenizer

    from haruon_tui.training import stage
    from haruon_tui.training.checkpoints import Checkpoints, Progress
    from haruon_tui.training.examples import Examples

    cuda = torch.cuda.is_available()
    if not cuda:
        _use_kernels(wanted)
    tokenizer = AutoTokenizer.from_pretrained(model)
    count = steps * wanted.batch_size * wanted.accumulation
    ids = [[10 + (i * 7 + j) % 1000 for j in range(length)] for i in range(count)]
    examples = Examples([{"input_ids": row, "labels": list(row)} for row in ids], [], length)
    with tempfile.TemporaryDirectory() as folder:
        job = JobContext.local(Path(folder) / "run")
        params = stage.Params(model=model, train_file=model, eval_file=model, settings=wanted)
        checkpoints = Checkpoints(job.scratch / "checkpoints")
        before = gpu_memory_in_use() if cuda else _resident()
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
        trainer = stage._trainer(
            params, job, tokenizer, examples, Examples(), checkpoints, Progress()
        )
        stage._fit(trainer)
        if cuda:
            return {
                "peak": gpu_memory_in_use() - before,  # the allocator keeps all it ever took
                "allocated": torch.cuda.max_memory_allocated(),
                "reserved": torch.cuda.max_memory_reserved(),
            }
    return {"peak": process_bytes("VmHWM") - before, "resident_before": before}


def _use_kernels(wanted: TrainSettings) -> None:
    """Import what the training imports, and let torch and oneDNN set up their kernels: both stay
    resident whatever is trained."""
    import torch

    from haruon_tui.training import setup, trainer  # noqa: F401

    one = torch.ones(64, 64, dtype=compute.dtype(wanted.precision), requires_grad=True)
    (one @ one).sum().backward()


def gpu_memory_in_use() -> int:
    """Of the first GPU, by NVML, in bytes; it makes no CUDA context of its own."""
    import pynvml

    pynvml.nvmlInit()
    return int(pynvml.nvmlDeviceGetMemoryInfo(pynvml.nvmlDeviceGetHandleByIndex(0)).used)


def _resident() -> int:
    return process_bytes("VmRSS")


def process_bytes(key: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024
    raise AssertionError(key)


if __name__ == "__main__":
    settings = TrainSettings.model_validate_json(Path(sys.argv[2]).read_text())
    found = measure(Path(sys.argv[1]), settings, int(sys.argv[3]), int(sys.argv[4]))
    print(json.dumps(found))
