"""A training that really runs out of memory: from one step on the device has less than a batch
takes. Does it end at the same number of optimizer steps as one with all of its memory?

On a GPU a random-weight model of Qwen2-1.5B's shape, whose allocator gets a smaller share of the
card; on the CPU the tiny shape, whose process gets a limit of address space. Both trainings are
processes of their own and train on the same records.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench import random_model
from bench.memory_probe import process_bytes
from haruon_tui import profiles
from haruon_tui.dataset import composer, records
from haruon_tui.hardware import architecture
from haruon_tui.settings import TrainSettings

_STEPS = 8
_LIMITED_FROM = 5
"""Before this step's only batch the memory is taken away; the newest checkpoint is of step 3."""
_LEFT = 0.75
"""Share of what a step takes over what stays between steps that is left: less than a whole batch
takes, more than half of one."""
_GIVE_BACK = {"MALLOC_MMAP_THRESHOLD_": str(1 << 20), "MALLOC_ARENA_MAX": "1"}
"""Have glibc return freed tensors' address space, so that the limit means the same in each run."""
_SECONDS = 280


def measure() -> dict[str, Any]:
    """The steps of both trainings, their losses by step, and what the limited one said."""
    import torch

    on_gpu = torch.cuda.is_available()
    shape = architecture.published("Qwen/Qwen2-1.5B") if on_gpu else architecture.TINY
    assert shape is not None
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        random_model.build(shape, folder / "base")
        torch.cuda.empty_cache()
        size = _settings(on_gpu).batch_size
        made = composer.compose(_STEPS * size + 4, seed=7).records
        records.write(folder / "train.jsonl", made[4:])
        records.write(folder / "eval.jsonl", made[:4])
        whole, limited = (_in_a_process(folder, kind) for kind in ("whole", "limited"))
    return {
        "on": torch.cuda.get_device_name() if on_gpu else "CPU",
        "whole": whole,
        "limited": limited,
        "same_end": whole["steps"] == limited["steps"] and whole["tokens"] == limited["tokens"],
        "losses_differ_by": max(
            abs(loss - limited["losses"][step]) for step, loss in whole["losses"].items()
        ),
    }


def _in_a_process(folder: Path, kind: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "bench.out_of_memory", str(folder), kind]
    done = subprocess.run(
        command,
        env=os.environ | _GIVE_BACK,
        capture_output=True,
        text=True,
        check=False,
        timeout=_SECONDS,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _settings(on_gpu: bool) -> TrainSettings:
    values = profiles.values("qwen2-1.5b" if on_gpu else "tiny", "recommended")["train"]
    changes = {
        "batch_size": 16,
        "accumulation": 1,
        "batching": "random",
        "epochs": 1.0,
        "eval_every": 3,
        "log_every": 1,
        "sample_every": 0,
        "early_stopping": 0,
    }
    return TrainSettings.model_validate({**values, **changes})


def run(folder: Path, kind: str) -> dict[str, Any]:
    """Train, with less memory from a step on when `kind` is "limited"."""
    from haruon_tui.model import compute

    compute.use_growing_segments()
    compute.use_allowed_cores()
    import torch

    from haruon_tui.jobs import events
    from haruon_tui.jobs.context import JobContext
    from haruon_tui.training import stage
    from haruon_tui.training.trainer import ReportingTrainer

    if kind == "limited":
        real, count = ReportingTrainer.training_step, 0
        limit = _limit_gpu if torch.cuda.is_available() else _limit_address_space

        def step(self: ReportingTrainer, *args: Any, **kwargs: Any) -> torch.Tensor:
            nonlocal count
            count += 1
            if count == _LIMITED_FROM:
                limit()
            return real(self, *args, **kwargs)

        ReportingTrainer.training_step = step  # type: ignore[method-assign]
    job = JobContext.local(folder / kind)
    params = stage.Params(
        model=folder / "base",
        train_file=folder / "train.jsonl",
        eval_file=folder / "eval.jsonl",
        settings=_settings(torch.cuda.is_available()),
    )
    result = stage.run(params, job)
    told = events.tail(folder / kind / "events.jsonl")
    return {
        "steps": result.steps,
        "tokens": result.tokens,
        "losses": {
            one["step"]: one["values"]["loss"]
            for one in told
            if one["kind"] == "metric" and "loss" in one["values"]
        },
        "changed": [one["values"] for one in told if one["kind"] == "changed"],
        "said": [one["text"] for one in told if one.get("level") == "warning"],
    }


def _limit_gpu() -> None:
    import torch

    torch.cuda.empty_cache()
    kept, peak = torch.cuda.memory_reserved(), torch.cuda.max_memory_allocated()
    allowed = kept + _LEFT * max(0, peak - kept)
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(allowed / total)


def _limit_address_space() -> None:
    now, peak = process_bytes("VmSize"), process_bytes("VmPeak")
    allowed = int(now + _LEFT * (peak - now))
    resource.setrlimit(resource.RLIMIT_AS, (allowed, resource.RLIM_INFINITY))


if __name__ == "__main__":
    print(json.dumps(run(Path(sys.argv[1]), sys.argv[2])))
