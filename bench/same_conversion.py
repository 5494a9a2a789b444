"""Our converter against llama.cpp's on small models of every family, and on real vocabularies.

    LLAMA_CPP=/path/to/vendor/llama.cpp python -m bench same_conversion

Writes what theirs made into tests/gguf/reference.json, which the tests compare ours with.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any, get_args

from bench import reference_converter
from bench.gguf_models import build
from haruon_tui.gguf.convert import convert
from haruon_tui.gguf.encoding import DataType

MODELS: dict[str, dict[str, Any]] = {
    "qwen2, tied": {},
    "qwen2, untied, F32, 3 parts": {"tied": False, "dtype": "F32", "parts": 3},
    "qwen3, heads of their own size": {"architecture": "Qwen3ForCausalLM", "head_size": 32},
    "llama 3, F16": {"architecture": "LlamaForCausalLM", "dtype": "F16", "tied": False},
    "qwen2, rows of 48 for Q8_0": {"feed_forward": 144, "hidden": 96, "parts": 2},
}
EXPECTED = Path("tests/gguf/reference.json")
TYPES: tuple[DataType, ...] = get_args(DataType)
_REAL = {
    "ggml-vocab-qwen2.gguf": "Qwen2ForCausalLM",
    "ggml-vocab-llama-bpe.gguf": "LlamaForCausalLM",
}


def measure() -> dict[str, Any]:
    source = reference_converter.folder()
    if source is None:
        raise SystemExit("LLAMA_CPP names no folder: see docs/gguf.md")
    expected, differing, files = {}, {}, 0
    with tempfile.TemporaryDirectory() as kept:
        for number, (name, shape) in enumerate(MODELS.items()):
            model = build(Path(kept) / str(number) / "model", **shape)
            known = "llama-bpe" if "llama" in name else "qwen2"
            for dtype in TYPES:
                theirs = model.with_name(f"theirs.{dtype}.gguf")
                reference_converter.run(source, model, theirs, dtype, taken_for=known)
                expected[f"{name} to {dtype}"] = reference_converter.contents(theirs)
                files += 1
                if found := _differing(model, theirs, dtype):
                    differing[f"{name} to {dtype}"] = found
        for file, architecture in _REAL.items():
            real = source / "models" / file
            model = build(Path(kept) / file / "model", architecture, real_vocabulary=real)
            theirs = model.with_name("theirs.F16.gguf")
            reference_converter.run(source, model, theirs, "F16")
            files += 1
            if found := _differing(model, theirs, "F16"):
                differing[file] = found
    EXPECTED.write_text(json.dumps(expected, ensure_ascii=False, indent=1) + "\n", "utf-8")
    return {
        "files": files,
        "differing": differing,
        "may_differ": reference_converter.DIFFERENCES,
    }


def _differing(model: Path, theirs: Path, dtype: DataType) -> list[str]:
    ours = model.with_name(f"ours.{dtype}.gguf")
    convert(model, ours, dtype=dtype)
    return reference_converter.differing(
        reference_converter.contents(ours), reference_converter.contents(theirs)
    )
