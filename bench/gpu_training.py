"""Each recipe on a random-weight model of Qwen2-1.5B's shape at sequence 1,024: tokens per second
without padding, MFU, and the peak of memory beside the estimate. Without a GPU the same runs at a
tiny size on the CPU, and says so.

`python -m bench gpu_training`; each recipe is a process of its own and prints a line as it ends,
so that one that fails, or takes too long, costs no other. HARUON_GPU_TRAINING names the cases to
run, separated by semicolons; without it all of CASES.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench import random_model
from haruon_tui import profiles
from haruon_tui.hardware import architecture
from haruon_tui.hardware.architecture import TINY, Architecture
from haruon_tui.settings import TrainSettings

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "guide-lora": ("guide-lora", {}),
    "recommended": ("recommended", {}),
    "guide-qlora": ("guide-qlora", {}),
    "recommended with PEFT's linears": ("recommended", {"_fused_lora": False}),
    "recommended, 8 at once": ("recommended", {"batch_size": 8, "accumulation": 2}),
}
"""The three recipes as they are defined, and what parts of the third are worth. A name with an
underscore is no setting."""
_WARM_UP = {"cuda": 5, "cpu": 1}
_STEPS = {"cuda": 15, "cpu": 2}
_SECONDS = {"cuda": 100, "cpu": 600}


def measure() -> dict[str, Any]:
    """One entry for each case: its figures, or its error."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda":
        shape, length = architecture.published("Qwen/Qwen2-1.5B"), 1024
        assert shape is not None
        where = torch.cuda.get_device_name()
    else:
        shape, length = TINY, 256
        where = "no GPU here: the tiny shape on the CPU, at sequence 256"
    wanted = os.environ.get("HARUON_GPU_TRAINING")
    names = [name.strip() for name in wanted.split(";")] if wanted else list(CASES)
    with tempfile.TemporaryDirectory() as folder:
        started = time.monotonic()
        base = random_model.build(shape, Path(folder) / "base")
        torch.cuda.empty_cache()
        print(json.dumps({"model": round(time.monotonic() - started, 1), "on": where}), flush=True)
        rows = {}
        for name in names:
            rows[name] = _in_a_process(base, name, length, device)
            print(json.dumps({"case": name, **rows[name]}), flush=True)
    return {"on": where, "length": length, "cases": rows, "gain": _gain(rows)}


def _gain(rows: dict[str, dict[str, Any]]) -> float | None:
    """How many times as many tokens per second `recommended` trains as `guide-lora`."""
    fast, slow = (
        rows.get(name, {}).get("tokens_per_second") for name in ("recommended", "guide-lora")
    )
    return round(fast / slow, 2) if fast and slow else None


def _in_a_process(base: Path, name: str, length: int, device: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "bench.gpu_training", str(base), name, str(length), device]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=_SECONDS[device]
        )
    except subprocess.TimeoutExpired:
        return {"error": f"did not end within {_SECONDS[device]} s"}
    if done.returncode:
        return {"error": done.stderr[-1500:]}
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def run(base: Path, name: str, length: int, device: str) -> dict[str, Any]:
    """Train a few dozen batches of one case; the first steps, in which kernels are built, do not
    count."""
    from haruon_tui.model import compute

    compute.use_growing_segments()
    compute.use_allowed_cores()
    import torch
    from transformers import AutoTokenizer

    from haruon_tui.jobs.context import JobContext
    from haruon_tui.training import stage
    from haruon_tui.training import trainer as training
    from haruon_tui.training.checkpoints import Checkpoints, Progress
    from haruon_tui.training.examples import Examples

    recipe, changes = CASES[name]
    profile = "qwen2-1.5b" if device == "cuda" else "tiny"
    values = profiles.values(profile, recipe)["train"]
    warm_up = _WARM_UP[device]
    steps = warm_up + _STEPS[device]
    values |= {"max_length": length, "epochs": 1.0, "eval_every": 10**6, "log_every": 1}
    values |= {key: value for key, value in changes.items() if not key.startswith("_")}
    wanted = TrainSettings.model_validate(values)
    if changes.get("_fused_lora") is False:
        training.fuse = lambda model: []
    encoded = examples(steps * wanted.batch_size * wanted.accumulation, length, wanted.loss_on)
    progress = Progress()
    points: dict[int, tuple[int, float]] = {}
    losses: list[float] = []

    class Watching(JobContext):
        def progress(self, done: float, total: float, *, phase: str = "", unit: str = "") -> None:
            if phase == "training":
                points[int(done)] = (progress.tokens, progress.seconds)

        def metric(self, step: int, **values: float) -> None:
            losses.append(values["loss"])

    with tempfile.TemporaryDirectory() as folder:
        job = Watching.local(Path(folder) / "run")
        params = stage.Params(model=base, train_file=base, eval_file=base, settings=wanted)
        before = _memory_in_use() if device == "cuda" else 0
        trainer = stage._trainer(
            params,
            job,
            AutoTokenizer.from_pretrained(base),
            Examples(encoded, [], length),
            Examples(),
            Checkpoints(job.scratch / "checkpoints"),
            progress,
        )
        _fit_without_saving(trainer)
        used = _memory_in_use() - before if device == "cuda" else None
    tokens, seconds = (points[steps][at] - points[warm_up][at] for at in (0, 1))
    return _figures(wanted, encoded, length, device, tokens / seconds, used) | {
        "losses": [round(losses[0], 3), round(losses[-1], 3)],
        "seconds_per_step": round(seconds / _STEPS[device], 3),
        "precision": str(next(iter(trainer.causal.parameters())).dtype).removeprefix("torch."),
        "fused": trainer.fused,
        "torch": torch.__version__,
    }


def _fit_without_saving(trainer: Any) -> None:
    """The last step would write a checkpoint."""
    trainer.is_evaluation_step = lambda step: False
    trainer.train()


def _figures(
    wanted: TrainSettings,
    encoded: list[dict[str, Any]],
    length: int,
    device: str,
    speed: float,
    used: int | None,
) -> dict[str, Any]:
    import torch

    from haruon_tui.hardware.memory_estimate import estimate
    from haruon_tui.hardware.peaks import of_cpu, of_gpu
    from haruon_tui.hardware.training_flops import flops_per_token, utilisation

    shape: Architecture | None = TINY
    peak = of_cpu(torch.get_num_threads()).bf16
    if device == "cuda":
        shape = architecture.published("Qwen/Qwen2-1.5B")
        peak = of_gpu(torch.cuda.get_device_name()).bf16
    assert shape is not None
    lengths = [len(one["input_ids"]) for one in encoded]
    labelled = sum(sum(label != -100 for label in one["labels"]) for one in encoded) / sum(lengths)
    mean = sum(lengths) / len(lengths)
    needed = {
        "mfu": flops_per_token(shape, wanted, mean),
        "mfu_labelled_head": flops_per_token(shape, wanted, mean, labelled),
    }
    gib = 1 << 30
    return {
        "tokens_per_second": round(speed),
        "gflop_per_token": round(needed["mfu"] / 1e9, 3),
        **{
            key: round(utilisation(speed, one, peak), 4) if peak else None
            for key, one in needed.items()
        },
        "peak_tflops": peak,
        "estimated_gib": round(
            estimate(shape, wanted, device=device, length=length).total / gib, 2
        ),
        "measured_gib": round(used / gib, 2) if used is not None else None,
        "allocated_gib": round(torch.cuda.max_memory_allocated() / gib, 2)
        if device == "cuda"
        else None,
        "mean_length": round(mean),
        "labelled": round(labelled, 3),
    }


def examples(count: int, length: int, loss_on: str) -> list[dict[str, list[int]]]:
    """Random tokens, as long as composed records are by characters, the longest of them `length`
    tokens; the assistant says the share of each that it says in the record."""
    from haruon_tui.dataset import composer

    chooser = random.Random(7)
    texts = [record["messages"] for record in composer.compose(200, seed=7).records]
    sizes = [[len(message["content"]) for message in messages] for messages in texts]
    longest = max(map(sum, sizes))
    made = []
    for at in range(count):
        size = sizes[at % len(sizes)]
        tokens = max(8, length * sum(size) // longest)
        prompt = tokens - tokens * size[-1] // sum(size)
        ids = [chooser.randrange(10, 1000) for _ in range(tokens)]
        labels = [-100] * prompt + ids[prompt:] if loss_on == "assistant" else list(ids)
        made.append({"input_ids": ids, "labels": labels})
    return made


def _memory_in_use() -> int:
    from bench.memory_probe import gpu_memory_in_use

    return gpu_memory_in_use()


if __name__ == "__main__":
    print(json.dumps(run(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4])))
