"""The profiles and recipes: nothing but values, laid under what haruon.toml says."""

from __future__ import annotations

import copy
from typing import Any

Values = dict[str, dict[str, Any]]

_COMMON_TRAIN: dict[str, Any] = {
    "method": "lora",
    "scheduler": "cosine",
    "weight_decay": 0.0,
    "max_grad_norm": 1.0,
    "precision": "auto",
    "gradient_checkpointing": False,
    "keep_checkpoints": 3,
    "batching": "random",
    "kernels": "standard",
}

RECIPES: dict[str, dict[str, Any]] = {
    # The guide's 4.1: LLaMA-Factory QLoRA on q and v, loss on the answer.
    "guide-qlora": {
        **_COMMON_TRAIN,
        "method": "qlora",
        "rank": 64,
        "alpha": 128,
        "dropout": 0.0,
        "targets": ["q_proj", "v_proj"],
        "loss_on": "assistant",
        "learning_rate": 1e-4,
        "warmup": 0.0,
        "epochs": 3.0,
        "batch_size": 4,
        "accumulation": 4,
        "precision": "bf16",
        "log_every": 10,
        "eval_every": 500,
    },
    # The guide's 4.2: the script's LoRA on attention in fp16, loss on the whole text.
    "guide-lora": {
        **_COMMON_TRAIN,
        "precision": "fp16",
        "rank": 64,
        "alpha": 128,
        "dropout": 0.1,
        "targets": ["q_proj", "k_proj", "v_proj", "o_proj"],
        "loss_on": "all",
        "learning_rate": 1e-4,
        "warmup": 100.0,
        "epochs": 3.0,
        "batch_size": 4,
        "accumulation": 4,
        "log_every": 10,
        "eval_every": 500,
    },
    # All-linear beats attention-only, and the answer alone is what should be learned.
    "recommended": {
        **_COMMON_TRAIN,
        "batching": "grouped",
        "kernels": "fused",
        "early_stopping": 5,
        "rank": 16,
        "alpha": 32,
        "dropout": 0.0,
        "targets": "all-linear",
        "loss_on": "assistant",
        "learning_rate": 2e-4,
        "warmup": 0.03,
        "epochs": 3.0,
        "batch_size": 16,
        "accumulation": 1,
        "log_every": 5,
        "eval_every": 50,
    },
}

PROFILES: dict[str, Values] = {
    "tiny": {
        "model": {"base": "tiny"},
        "dataset": {
            "golden": False,
            "compose": 800,
            "eval_fraction": 0.05,
            "split": "shuffled",
        },
        "train": {
            "recipe": "recommended",
            "rank": 64,
            "alpha": 128,
            "learning_rate": 2e-3,
            "epochs": 3.0,
            "batch_size": 8,
            "accumulation": 1,
            "max_length": 512,
            "eval_every": 100,
        },
        "evaluate": {"max_new_tokens": 320, "batch_size": 32},
        "gguf": {
            "quantize": ["Q4_0", "Q4_1", "Q4_K_M", "Q5_K_M", "Q8_0"],
            "prompt_tokens": 512,
            "generate_tokens": 128,
            "repeats": 5,
        },
        "chat": {"temperature": 0.0, "max_tokens": 400, "context": 1024},
        "generate": {"count": 20},
        "hardware": {},
        "jobs": {},
        "slurm": {},
    },
    "qwen2-1.5b": {
        "model": {"base": "Qwen/Qwen2-1.5B-Instruct"},
        "dataset": {
            "golden": True,
            "golden_weight": 2.0,
            "compose": 800,
            "eval_fraction": 0.05,
        },
        "train": {"recipe": "recommended", "max_length": 2048},
        "evaluate": {"max_new_tokens": 800, "batch_size": 8},
        "gguf": {
            "quantize": ["Q4_0", "Q4_1", "Q4_K_M", "Q5_K_M", "Q8_0"],
            "prompt_tokens": 512,
            "generate_tokens": 128,
            "repeats": 5,
        },
        "chat": {"temperature": 0.7, "max_tokens": 800, "context": 2048},
        "generate": {"count": 500},
        "hardware": {},
        "jobs": {},
        "slurm": {},
    },
}


def values(profile: str, recipe: str) -> dict[str, Any]:
    """Every value of `profile` with `recipe`, nested by section.

    The profile's own training values hold for its default recipe; another recipe brings its own,
    except for what the profile's model needs (the longest example).
    """
    merged: dict[str, Any] = copy.deepcopy(PROFILES[profile])
    merged["profile"] = profile
    own = merged["train"]
    if recipe != own["recipe"]:
        own = {"max_length": own["max_length"]}
    merged["train"] = {**copy.deepcopy(RECIPES[recipe]), **own, "recipe": recipe}
    return merged
