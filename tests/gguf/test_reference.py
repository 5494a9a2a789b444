"""Our converter writes what llama.cpp's own does: tensors bit for bit, and the same metadata.

The expectations in reference.json were made by `python -m bench same_conversion` (docs/gguf.md).
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.gguf_models import build
from bench.reference_converter import DIFFERENCES, contents, differing
from bench.same_conversion import MODELS, TYPES
from haruon_tui.gguf.convert import convert

EXPECTED = json.loads(Path(__file__).with_name("reference.json").read_text("utf-8"))


@pytest.mark.parametrize("name", MODELS)
def test_tensors_and_metadata_are_those_of_llama_cpps_converter(name: str, tmp_path: Path) -> None:
    model = build(tmp_path / "model", **MODELS[name])
    for dtype in TYPES:
        convert(model, tmp_path / "out.gguf", dtype=dtype)
        ours, theirs = contents(tmp_path / "out.gguf"), EXPECTED[f"{name} to {dtype}"]
        assert differing(ours, theirs) == []
        assert ours["metadata"].keys() - theirs["metadata"].keys() <= DIFFERENCES.keys()


def test_the_comparison_sees_one_bit(tmp_path: Path) -> None:
    model = build(tmp_path / "model")
    convert(model, tmp_path / "out.gguf")
    spoilt = bytearray((tmp_path / "out.gguf").read_bytes())
    spoilt[-1] ^= 1
    (tmp_path / "out.gguf").write_bytes(spoilt)
    expected = EXPECTED["qwen2, tied to F16"]
    assert differing(contents(tmp_path / "out.gguf"), expected) == ["tensors"]


def test_rows_that_are_no_multiple_of_32_fall_back_by_name(tmp_path: Path) -> None:
    model = build(tmp_path / "model", **MODELS["qwen2, rows of 48 for Q8_0"])
    conversion = convert(model, tmp_path / "out.gguf", dtype="Q8_0")
    assert conversion.notes == [
        f"blk.{layer}.ffn_down.weight: F16 instead of Q8_0 because 144 is no multiple of 32"
        for layer in range(2)
    ]
