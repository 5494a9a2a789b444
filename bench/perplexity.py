"""Our quality and speed figures against llama.cpp's own programs.

    LLAMA_BIN=/path/to/build/bin python -m bench perplexity

LLAMA_BIN has llama-perplexity and llama-bench, built from llama-cpp-python's own source archive
(docs/gguf.md, "Comparing"). They run on the libraries that llama-cpp-python brings, so that both
sides are one build with the same instructions of the CPU. Quality: the tiny base, F16 against four
quantizations, on texts of its own kind. Memory: the buffers that the phone's limits are held
against, at the app's context. Speed: a random Qwen2 of 130 M parameters as Q8_0 and Q4_0, pp512
and tg128, in turns; the medians are compared.
"""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import llama_cpp

from bench.gguf_models import build
from haruon_tui.comparison import benchmark, quality
from haruon_tui.dataset import composer
from haruon_tui.gguf.convert import convert
from haruon_tui.gguf.quantize import quantize
from haruon_tui.jobs.context import JobContext
from haruon_tui.model import tiny
from haruon_tui.settings import Quantization

CHUNKS = 8
TEXTS = 60
TURNS = 5
REPEATS = 3
ATTEMPTS = 30
CONTEXT = 2048
QUALITY_TYPES: tuple[Quantization, ...] = ("Q4_0", "Q4_K_M", "Q5_K_M", "Q8_0")
SPEED_TYPES: tuple[Quantization, ...] = ("Q8_0", "Q4_0")
SHAPE: dict[str, Any] = {
    "layers": 12,
    "hidden": 768,
    "feed_forward": 3072,
    "heads": 12,
    "kv_heads": 4,
    "vocabulary": 32000,
}
_FIGURES = {
    "divergence": r"Mean\s+KLD:\s+(\S+)",
    "perplexity_ratio": r"Mean PPL\(Q\)/PPL\(base\)\s*:\s+(\S+)",
    "same_top": r"Same top p:\s+(\S+)",
}


def measure() -> dict[str, Any]:
    programs = os.environ.get("LLAMA_BIN")
    if not programs:
        sys.exit("LLAMA_BIN: set it to the folder with llama-perplexity and llama-bench")
    with tempfile.TemporaryDirectory() as kept:
        folder = Path(kept)
        return {
            "quality_and_memory": _quality(Path(programs), folder),
            "speed": _speed(Path(programs), folder),
        }


def _quality(programs: Path, folder: Path) -> dict[str, Any]:
    """By type and figure: ours, theirs. llama-perplexity ends without waiting for its last lines
    to be written, so it is run again where they are missing."""
    model = folder / "tiny.F16.gguf"
    convert(tiny.cached_base(JobContext.local(folder / "job")), model)
    text = folder / "text.txt"
    said = [text for text in composer.base_corpus(tiny.RECIPE.seed) if "<|" not in text][:TEXTS]
    text.write_text("\n\n".join(said), encoding="utf-8")
    ours_base, their_base = folder / "ours", folder / "theirs"
    common: dict[str, Any] = {"text": text, "chunks": CHUNKS, "baseline": ours_base}
    quality.measure(model, **common, is_baseline=True)
    their = [programs / "llama-perplexity", "-f", text, "-c", 512, "-b", 512, "--chunks", CHUNKS]
    their += ["--kl-divergence-base", their_base]
    _run([*their, "-m", model])
    found: dict[str, Any] = {}
    for kind in QUALITY_TYPES:
        small = folder / f"tiny.{kind}.gguf"
        quantize(model, small, kind)
        ours = quality.measure(small, **common, is_baseline=False)
        for _ in range(ATTEMPTS):
            said_by = _run([*their, "-m", small, "--kl-divergence"])
            if "Same top p:" in said_by:
                break
        found[kind] = _memory(programs, small, text)
        for name, pattern in _FIGURES.items():
            match = re.search(pattern, said_by)
            if match is None:
                sys.exit(f"llama-perplexity said nothing of {name}:\n{said_by[-2000:]}")
            value = float(match.group(1)) / (100 if name == "same_top" else 1)
            found[kind][name] = [float(f"{ours[name][0]:.6g}"), value]
    return found


def _memory(programs: Path, model: Path, text: Path) -> dict[str, Any]:
    """Bytes of all buffers at CONTEXT tokens: ours, theirs."""
    ours = benchmark.measure(
        model,
        prompt_tokens=1,
        generate_tokens=1,
        repeats=1,
        report_tokens=1,
        context=CONTEXT,
        prompts=[],
    )["buffers"]
    command = [programs / "llama-perplexity", "-m", model, "-f", text, "--chunks", 1]
    command += ["-c", CONTEXT, "-b", CONTEXT, "--no-repack", "-lv", 5]
    said = _run(command, stderr=True)
    loads = said.split("load_tensors: loading model tensors")
    sizes = re.findall(r"buffer size\s*=\s*([\d.]+) MiB", loads[-1])
    return {"memory": [sum(ours.values()), round(sum(map(float, sizes)) * (1 << 20))]}


def _speed(programs: Path, folder: Path) -> dict[str, Any]:
    """By type and test: our median, theirs, and ours by theirs."""
    model = folder / "random.F16.gguf"
    convert(build(folder / "random", **SHAPE), model)
    found: dict[str, Any] = {}
    for kind in SPEED_TYPES:
        small = folder / f"random.{kind}.gguf"
        quantize(model, small, kind)
        ours: dict[str, list[float]] = {"pp512": [], "tg128": []}
        theirs: dict[str, list[float]] = {"pp512": [], "tg128": []}
        for _ in range(TURNS):
            said = _run([programs / "llama-bench", "-m", small, "-r", REPEATS, "-o", "json"])
            for test, one in zip(theirs, json.loads(said), strict=True):
                theirs[test].append(one["avg_ts"])
            row = benchmark.measure(
                small,
                prompt_tokens=512,
                generate_tokens=128,
                repeats=REPEATS,
                report_tokens=1,
                context=640,
                prompts=[],
            )
            ours["pp512"].append(row["prompt"]["mean"])
            ours["tg128"].append(row["generate"]["mean"])
        found[kind] = {
            test: {
                "ours": round(statistics.median(ours[test]), 1),
                "llama_bench": round(statistics.median(theirs[test]), 1),
                "ratio": round(statistics.median(ours[test]) / statistics.median(theirs[test]), 3),
            }
            for test in ours
        }
    return found


def _run(command: list[Any], *, stderr: bool = False) -> str:
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        env=os.environ | {"LD_LIBRARY_PATH": str(Path(llama_cpp.__file__).parent / "lib")},
    )
    if done.returncode:
        sys.exit(f"{command[0]} failed:\n{done.stderr[-2000:]}")
    return done.stderr if stderr else done.stdout
