"""From training settings to what transformers, peft and trl are given.

This module imports torch, transformers, peft and trl; only a stage that trains imports it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import DistributedType
from peft import LoraConfig
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, PreTrainedModel
from trl import SFTConfig

from haruon_tui.errors import ConfigurationError
from haruon_tui.hardware.memory_estimate import fuses_lora
from haruon_tui.model import compute
from haruon_tui.settings import TrainSettings
from haruon_tui.training.ranks import share

_SCHEDULERS = {"cosine": "cosine", "linear": "linear", "constant": "constant_with_warmup"}


def base_model(folder: Path, wanted: TrainSettings) -> PreTrainedModel:
    """The base model, ready to be trained by the method.

    A frozen base is loaded in the precision that it computes in, which saves memory. A base that
    is itself trained keeps fp32 weights, which small updates need, and computes in the precision
    by autocast.
    """
    if wanted.deterministic:
        use_deterministic_kernels()
    options: dict[str, Any] = {"dtype": compute.dtype(wanted.precision)}
    if wanted.method == "full":
        options["dtype"] = torch.float32
    elif wanted.method == "qlora":
        options["quantization_config"] = _four_bits(wanted)
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(folder, **options)
    for module in model.modules():
        # Once evaluated on a CPU, bitsandbytes repacks 4-bit weights and cannot train them again.
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
    return model


def use_deterministic_kernels() -> None:
    """Let torch take only kernels that give the same bits each time, where it has one. cuBLAS
    reads its wish when it is first used."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = False


def _four_bits(wanted: TrainSettings) -> BitsAndBytesConfig:
    """QLoRA's NF4 with double quantization (Dettmers et al. 2023, arXiv:2305.14314)."""
    try:
        import bitsandbytes  # noqa: F401
    except ImportError as error:
        raise ConfigurationError(
            "qlora needs bitsandbytes, which is not installed",
            where="train.method",
            do='pip install "haruon-tui[qlora]", or set method = "lora"',
        ) from error
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=compute.dtype(wanted.precision),
    )


def adapter(wanted: TrainSettings) -> LoraConfig | None:
    """The LoRA adapter; None where the whole model is trained."""
    if wanted.method == "full":
        return None
    return LoraConfig(
        r=wanted.rank,
        lora_alpha=wanted.alpha,
        lora_dropout=wanted.dropout,
        target_modules=wanted.targets,
        use_dora=wanted.method == "dora",
        use_rslora=wanted.method == "rslora",
        bias="none",
        task_type="CAUSAL_LM",
    )


def arguments(wanted: TrainSettings, folder: Path) -> SFTConfig:
    """The trainer's arguments. Saving and evaluating are decided by ReportingTrainer. Fused
    linears mind their own precision, so that nothing has to be cast automatically."""
    dtype = compute.dtype(wanted.precision)
    where = compute.device()
    arguments = SFTConfig(
        output_dir=str(folder),
        num_train_epochs=wanted.epochs,
        per_device_train_batch_size=wanted.batch_size,
        per_device_eval_batch_size=wanted.batch_size,
        gradient_accumulation_steps=share(wanted).accumulation,
        learning_rate=wanted.learning_rate,
        lr_scheduler_type=_SCHEDULERS[wanted.scheduler],
        warmup_steps=wanted.warmup,
        weight_decay=wanted.weight_decay,
        max_grad_norm=wanted.max_grad_norm,
        activation_checkpointing=wanted.gradient_checkpointing,
        bf16=dtype == torch.bfloat16 and not fuses_lora(wanted),
        fp16=dtype == torch.float16,
        use_cpu=where == "cpu",
        ddp_find_unused_parameters=False,
        dataloader_pin_memory=where == "cuda",
        seed=wanted.seed,
        logging_strategy="no",
        logging_nan_inf_filter=False,
        save_strategy="no",
        eval_strategy="no",
        report_to="none",
        disable_tqdm=True,
        max_length=None,
        shuffle_dataset=False,
        dataset_kwargs={"skip_prepare_dataset": True},
    )
    if where == "cpu" and wanted.strategy == "fsdp" and arguments.world_size > 1:
        # accelerate shards nothing for the kind MULTI_CPU, though FSDP2 and gloo can
        PartialState._shared_state["distributed_type"] = DistributedType.MULTI_GPU
    return arguments


def precision_name(wanted: TrainSettings) -> str:
    """The precision in force, such as "bf16"."""
    names = {torch.bfloat16: "bf16", torch.float16: "fp16", torch.float32: "fp32"}
    return names[compute.dtype(wanted.precision)]


def device_name(wanted: TrainSettings) -> str:
    """The device in words, such as "cpu" or "NVIDIA A100"."""
    where = compute.device()
    name = torch.cuda.get_device_name() if where == "cuda" else where
    count = wanted.processes * wanted.machines
    return f"{count} x {name}" if count > 1 else name
