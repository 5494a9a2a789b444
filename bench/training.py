"""Throughput of the recipes on the tiny base, same data, seed and evaluation mask: the tokens per
second of `recommended` beside `guide-lora` (learning rate and warm-up scaled to tiny) and beside
bare PyTorch loops with the same base, batches and precision; and how long each takes to
guide-lora's final evaluation loss."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from haruon_tui import profiles
from haruon_tui.dataset import composer, records
from haruon_tui.jobs.context import JobContext
from haruon_tui.model.tiny import cached_base
from haruon_tui.settings import TrainSettings

GUIDE = {"learning_rate": 2e-3, "warmup": 0.03}
"""The guide's 1e-4 and 100 steps are for 1.5 billion parameters and a long training."""
_EPOCHS = float(os.environ.get("HARUON_BENCH_EPOCHS", "3"))
_RECORDS, _HELD_OUT = 800, 40
_BARE_STEPS = 40


def measure() -> dict[str, Any]:
    """Tokens (no padding) per second, losses, and the two ratios that are promised."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        base = cached_base(JobContext.local(folder / "base"))
        made = composer.compose(_RECORDS, seed=7).records
        records.write(folder / "eval.jsonl", made[:_HELD_OUT])
        records.write(folder / "train.jsonl", made[_HELD_OUT:])
        runs = {}
        for case in ("guide-lora", "recommended", "bare", "bare, our parts"):
            runs[case] = _in_a_process(case, base, folder)
            print(json.dumps({case: runs[case]}), flush=True)
    guide, ours = runs["guide-lora"], runs["recommended"]
    target = guide["curve"][-1][1]
    reached = next((seconds for seconds, loss in ours["curve"] if loss <= target), None)
    speed = ours["tokens_per_second"]
    return {
        "tokens_per_second": {case: run["tokens_per_second"] for case, run in runs.items()},
        "over_guide_lora": round(speed / guide["tokens_per_second"], 2),
        "over_bare": round(
            speed / max(run["tokens_per_second"] for case, run in runs.items() if "bare" in case),
            2,
        ),
        "guide_lora_final_eval_loss": target,
        "recommended_final_eval_loss": ours["curve"][-1][1],
        "wall_time_to_it": round(reached / guide["curve"][-1][0], 3) if reached else None,
    }


def _in_a_process(case: str, base: Path, folder: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "bench.training", case, str(base), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-3000:])
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def settings(recipe: str) -> TrainSettings:
    """The tiny profile's values of a recipe, evaluated often enough to draw a curve."""
    values = profiles.values("tiny", recipe)["train"] | {"epochs": _EPOCHS, "log_every": 10}
    if recipe == "guide-lora":
        return TrainSettings.model_validate({**values, **GUIDE, "eval_every": 10**6})
    return TrainSettings.model_validate({**values, "eval_every": 10, "keep_checkpoints": 1})


def train(recipe: str, base: Path, folder: Path) -> dict[str, Any]:
    """The train stage as the program runs it; the loss of each evaluation is measured anew on the
    assistant's tokens alone, as the guide's recipe itself counts all."""
    from haruon_tui.model import compute

    compute.use_allowed_cores()
    from haruon_tui.training import stage
    from haruon_tui.training.trainer import ReportingTrainer

    wanted = settings(recipe)
    held_out = evaluation(base, folder)
    curve: list[tuple[float, float]] = []

    def evaluate(trainer: ReportingTrainer, *_: Any, **__: Any) -> dict[str, float]:
        loss = assistant_loss(trainer.causal, held_out)
        curve.append((round(trainer.progress.seconds, 2), round(loss, 4)))
        return {"eval_loss": loss}

    ReportingTrainer.evaluate = evaluate
    job = JobContext.local(folder / recipe)
    files = {"train_file": folder / "train.jsonl", "eval_file": folder / "eval.jsonl"}
    started = time.process_time()
    done = stage.run(stage.Params(model=base, settings=wanted, **files), job)
    return {
        "tokens_per_second": round(done.tokens_per_second),
        "tokens_per_cpu_second": round(done.tokens / (time.process_time() - started)),
        "steps": done.steps,
        "seconds": round(done.seconds, 1),
        "precision": done.precision,
        "curve": curve,
    }


def encoded(base: Path, file: Path) -> list[dict[str, list[int]]]:
    from transformers import AutoTokenizer

    from haruon_tui.training import examples

    tokenizer = AutoTokenizer.from_pretrained(base)
    with tempfile.TemporaryDirectory() as folder:
        job = JobContext.local(Path(folder))
        return examples.load(file, tokenizer, "assistant", 512, job).encoded


def evaluation(base: Path, folder: Path) -> list[dict[str, Any]]:
    """Batches of the held-out records, with labels on the assistant's tokens only."""
    from haruon_tui.training.batches import collate

    rows = encoded(base, folder / "eval.jsonl")
    return [collate(rows[at : at + 8], 0) for at in range(0, len(rows), 8)]


def assistant_loss(causal: Any, batches: list[dict[str, Any]]) -> float:
    """The mean negative log-likelihood of all labelled tokens."""
    import torch

    from haruon_tui.training.loss import labelled_loss

    causal.eval()
    with torch.no_grad(), torch.random.fork_rng():
        total = sum(
            float(labelled_loss(causal, one["input_ids"], one["places"], one["targets"]))
            for one in batches
        )
    causal.train()
    return total / sum(len(one["targets"]) for one in batches)


def bare(base: Path, folder: Path, *, ours: bool) -> dict[str, Any]:
    """A loop of forward, backward, clip and step over the batches of `recommended`, with nothing
    around it: transformers and PEFT as they come, under bf16 autocast; or, with `ours`, our LoRA
    linears, loss and attention."""
    from haruon_tui.model import compute

    compute.use_allowed_cores()
    import torch
    from peft import get_peft_model
    from transformers import AutoModelForCausalLM

    from haruon_tui.training import setup
    from haruon_tui.training.batches import Order, collate
    from haruon_tui.training.fused_lora import fuse
    from haruon_tui.training.loss import labelled_loss
    from haruon_tui.training.short_attention import use_short_attention

    wanted = settings("recommended")
    rows = encoded(base, folder / "train.jsonl")
    dtype = compute.dtype(wanted.precision)
    torch.manual_seed(wanted.seed)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=dtype if ours else torch.float32)
    model = get_peft_model(model, setup.adapter(wanted)).train()
    if ours:
        fuse(model)
        use_short_attention(model.get_base_model())
    trained = [one for one in model.parameters() if one.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=wanted.learning_rate, weight_decay=0.0, fused=True)
    lengths = [len(row["input_ids"]) for row in rows]
    order = list(Order(lengths, wanted.batch_size, wanted.seed, grouped=True))
    tokens, started = 0, 0.0
    for step in range(-3, _BARE_STEPS):
        if step == 0:
            tokens, started = 0, time.monotonic()
        at = (step + 3) * wanted.batch_size
        batch = collate([rows[index] for index in order[at : at + wanted.batch_size]], 0)
        if ours:
            causal = model.get_base_model()
            loss = labelled_loss(causal, batch["input_ids"], batch["places"], batch["targets"])
            loss = loss / len(batch["targets"])
        else:
            with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
                loss = model(
                    input_ids=batch["input_ids"],
                    attention_mask=batch["attention_mask"],
                    labels=batch["labels"],
                    use_cache=False,
                ).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, wanted.max_grad_norm)
        optimizer.step()
        optimizer.zero_grad()
        tokens += batch["tokens"]
    return {"tokens_per_second": round(tokens / (time.monotonic() - started))}


if __name__ == "__main__":
    case, base, folder = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    if case.startswith("bare"):
        found = bare(base, folder, ours=case != "bare")
    else:
        found = train(case, base, folder)
    print(json.dumps(found))
