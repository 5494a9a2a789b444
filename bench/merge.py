"""Every kind of adapter trained a few steps on the tiny base, merged, compared with base and
adapter: the largest difference of their logits, and for QLoRA the KL divergence from the model in
4 bits that was trained."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import Any

from haruon_tui import profiles
from haruon_tui.dataset import composer, records
from haruon_tui.jobs.context import JobContext
from haruon_tui.settings import TrainSettings

KINDS = ("lora", "dora", "rslora", "qlora")
_RECORDS = 12


def measure() -> dict[str, Any]:
    """By kind: the loss at the first and last step, and the differences."""
    from haruon_tui.model.tiny import cached_base

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        base = cached_base(JobContext.local(folder / "base"))
        return {kind: of_kind(kind, base, folder / kind) for kind in KINDS}


def of_kind(kind: str, base: Path, folder: Path) -> dict[str, float]:
    """Train, merge and compare one kind."""
    import torch

    from haruon_tui.training import merge, stage

    folder.mkdir(parents=True)
    records.write(folder / "train.jsonl", composer.compose(_RECORDS, seed=7).records)
    (folder / "eval.jsonl").write_text("")
    losses: list[float] = []

    class Watching(JobContext):
        def metric(self, step: int, **values: float) -> None:
            losses.append(values["loss"])

    dtype = torch.bfloat16 if kind == "qlora" else torch.float32
    values = profiles.values("tiny", "recommended")["train"] | {
        "method": kind, "rank": 8, "alpha": 16, "epochs": 1.0, "batch_size": 4, "log_every": 1,
        "max_length": 4096, "learning_rate": 1e-2,
        "precision": "bf16" if kind == "qlora" else "fp32",
    }  # fmt: skip
    files = {"train_file": folder / "train.jsonl", "eval_file": folder / "eval.jsonl"}
    wanted = TrainSettings.model_validate(values)
    params = stage.Params(model=base, settings=wanted, **files)
    stage.run(params, Watching.local(folder / "run"))
    adapter = folder / "run" / "artifacts" / "adapter"
    start = _in(base, dtype, folder / "base")
    job = JobContext.local(folder / "merge")
    merge.run(merge.Params(model=start, adapter=adapter), job)
    found = {
        "first_loss": losses[0],
        "last_loss": losses[-1],
        **compare(start, adapter, job.artifacts / "model", dtype),
    }
    if kind == "qlora":
        found["kl_to_4_bit"] = _divergence(base, adapter, job.artifacts / "model", wanted)
    return found


def _in(base: Path, dtype: Any, folder: Path) -> Path:
    """The base saved in a precision, as one from the Hub is."""
    from transformers import AutoModelForCausalLM

    from haruon_tui.model.folder import copy_tokenizer

    AutoModelForCausalLM.from_pretrained(base, dtype=dtype).save_pretrained(folder)
    copy_tokenizer(base, folder)
    return folder


def compare(base: Path, adapter: Path, merged: Path, dtype: Any) -> dict[str, float]:
    """The largest difference of the merged model's logits to those of base and adapter, and to
    the base's alone, which says that the adapter does something."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    plain_model = AutoModelForCausalLM.from_pretrained(base, dtype=dtype)
    plain = logits(plain_model, base)
    together = logits(PeftModel.from_pretrained(plain_model, adapter), base)
    after = logits(AutoModelForCausalLM.from_pretrained(merged, dtype=dtype), base)
    return {
        "largest_difference": float((together - after).abs().max()),
        "mean_difference": float((together - after).abs().mean()),
        "adapter_moves": float((together - plain).abs().max()),
        "kl_to_base_and_adapter": divergence(together, after),
    }


def logits(model: Any, tokenizer_folder: Path) -> Any:
    """(tokens, vocabulary) in fp32, of one record that was not trained on."""
    import torch
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder)
    messages = composer.compose(1, seed=3).records[0]["messages"]
    inputs = tokenizer.apply_chat_template(messages, return_tensors="pt", return_dict=True)
    with torch.inference_mode():
        return model.eval()(**inputs).logits[0].float()


def divergence(one: Any, other: Any) -> float:
    """The mean KL divergence over positions, in nats."""
    import torch
    from torch.nn import functional

    one, other = (torch.log_softmax(each.double(), -1) for each in (one, other))
    found = functional.kl_div(other, one, reduction="batchmean", log_target=True)
    return max(0.0, float(found))


def _divergence(base: Path, adapter: Path, merged: Path, wanted: TrainSettings) -> float:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    from haruon_tui.training import setup

    trained = PeftModel.from_pretrained(setup.base_model(base, wanted), adapter)
    after = AutoModelForCausalLM.from_pretrained(merged, dtype=torch.bfloat16)
    found = divergence(logits(trained, base), logits(after, base))
    assert math.isfinite(found)
    return found
