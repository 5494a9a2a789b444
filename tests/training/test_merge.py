"""Merging gives one model that says what base and adapter say together."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from haruon_tui.dataset import composer
from haruon_tui.errors import StageError
from haruon_tui.jobs.context import JobContext
from haruon_tui.training import merge


@pytest.fixture
def job(tmp_path: Path) -> JobContext:
    return JobContext.local(tmp_path / "merge")


def logits(model: Any, folder: Path) -> torch.Tensor:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    messages = composer.compose(1, seed=3).records[0]["messages"]
    inputs = tokenizer.apply_chat_template(messages, return_tensors="pt", return_dict=True)
    with torch.inference_mode():
        return model.eval()(**inputs).logits


def test_merged_logits_are_those_of_base_and_adapter(
    finished: Any, small_base: Path, job: JobContext
) -> None:
    from peft import PeftModel

    training, _ = finished
    result = merge.run(merge.Params(model=small_base, adapter=training.adapter), job)
    base = AutoModelForCausalLM.from_pretrained(small_base)
    plain = logits(base, small_base)
    together = logits(PeftModel.from_pretrained(base, training.adapter), small_base)
    folder = job.artifacts / "model"
    merged = logits(AutoModelForCausalLM.from_pretrained(folder), folder)
    assert (together - merged).abs().max() < 1e-4
    assert (together - plain).abs().max() > 1e-2
    assert result.dtype == "float32"


def test_tokenizer_and_template_are_the_bases_byte_for_byte(
    finished: Any, small_base: Path, job: JobContext
) -> None:
    merge.run(merge.Params(model=small_base, adapter=finished[0].adapter), job)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        assert (job.artifacts / "model" / name).read_bytes() == (small_base / name).read_bytes()
    assert list((job.artifacts / "model").glob("*.safetensors"))


def test_a_base_in_bf16_is_merged_and_saved_in_bf16(
    finished: Any, small_base: Path, job: JobContext, tmp_path: Path
) -> None:
    halved = tmp_path / "bf16"
    AutoModelForCausalLM.from_pretrained(small_base, dtype=torch.bfloat16).save_pretrained(halved)
    AutoTokenizer.from_pretrained(small_base).save_pretrained(halved)
    result = merge.run(merge.Params(model=halved, adapter=finished[0].adapter), job)
    assert result.dtype == "bfloat16"
    config = json.loads((job.artifacts / "model" / "config.json").read_text())
    assert config.get("dtype", config.get("torch_dtype")) == "bfloat16"


def test_a_full_fine_tune_is_taken_in_the_bases_precision(
    training: Any, small_base: Path, job: JobContext
) -> None:
    training.run(method="full", epochs=0.2, learning_rate=1e-3)
    result = merge.run(merge.Params(model=small_base, adapter=training.adapter), job)
    folder = job.artifacts / "model"
    tuned = logits(AutoModelForCausalLM.from_pretrained(training.adapter), small_base)
    assert torch.equal(logits(AutoModelForCausalLM.from_pretrained(folder), folder), tuned)
    assert result.dtype == "float32"


def test_an_adapter_of_another_model_is_refused_and_leaves_nothing(
    finished: Any, small_base: Path, job: JobContext, tmp_path: Path
) -> None:
    from transformers import Qwen2Config, Qwen2ForCausalLM

    other = tmp_path / "other"
    config = Qwen2Config.from_pretrained(small_base)
    config.hidden_size = 32
    Qwen2ForCausalLM(config).save_pretrained(other)
    AutoTokenizer.from_pretrained(small_base).save_pretrained(other)
    with pytest.raises(StageError, match="cannot be merged"):
        merge.run(merge.Params(model=other, adapter=finished[0].adapter), job)
    assert not (job.artifacts / "model").exists()
