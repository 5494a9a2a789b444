"""The exported folder answers in node-llama-cpp as it does here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.second_runtime import FIRST, compare, installed
from haruon_tui.export.stage import Params, run
from haruon_tui.gguf import convert_stage
from haruon_tui.jobs.context import JobContext
from tests.gguf.conftest import build_model


def require_runtime() -> None:
    if reason := installed():
        pytest.skip(f"the second runtime is not tried: {reason}")


def test_the_first_tokens_are_those_of_llama_cpp_python(
    params: Callable[..., Params], tmp_path: Path
) -> None:
    require_runtime()
    wanted = params(max_tokens=FIRST)
    run(wanted, JobContext.local(tmp_path / "runs" / "run"))
    found = compare(wanted.out, 3)
    assert len(found) == 3
    for one in found:
        assert one["same_prompt"]
        assert one["same"]
        assert one["tokens"] == one["tokens_here"]
        assert (one["end"] is not None) == one["ended"]


def _ends_at_once(model: Any) -> None:
    """Whatever is asked, the likeliest token is the last special one, which ends a turn."""
    import torch

    with torch.no_grad():
        for layer in model.model.layers:
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
        embedding = model.model.embed_tokens.weight
        embedding.copy_(torch.ones_like(embedding))
        embedding[model.config.eos_token_id] *= 3
        model.model.norm.weight.fill_(1.0)


def test_the_end_is_a_stop_string_of_the_manifest(
    params: Callable[..., Params], tmp_path: Path
) -> None:
    require_runtime()
    folder = build_model(tmp_path / "silent", change=_ends_at_once)
    job = JobContext.local(tmp_path / "convert")
    convert_stage.run(convert_stage.Params(model=folder, name="silent"), job)
    wanted = params(gguf=job.artifacts / "model.F16.gguf", proof=job.artifacts / "proof.json")
    run(wanted, JobContext.local(tmp_path / "runs" / "run"))
    [one] = compare(wanted.out, 1)
    assert one["end"] == "<|im_end|>"
    assert one["tokens"] == one["tokens_here"] == 0
