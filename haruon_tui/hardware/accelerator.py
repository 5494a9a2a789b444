"""Rows about the GPU and the libraries that would use it. Nothing here imports them."""

from __future__ import annotations

import importlib.metadata
import platform
import re
from pathlib import Path

from haruon_tui.hardware.gpus import Gpu, read_gpus
from haruon_tui.hardware.needs import GIB, Amount
from haruon_tui.hardware.row import Row, Verdict

_TINY = 'set profile = "tiny" in haruon.toml'


def gpu(need: Amount | None) -> Row:
    """The GPUs with name, video memory and driver; the one with most memory decides."""
    reading = read_gpus()
    needed = f"video memory: {need}" if need else "none"
    if reading.problem:
        verdict: Verdict = "fails" if need else "warning"
        do = f"mend the driver (nvidia-smi), {f'or {_TINY}' if need else 'or use the CPU'}"
        return Row("gpu", "GPU", f"unknown: {reading.problem}", needed, verdict, do)
    if not reading.gpus and _apple_silicon():
        return Row("gpu", "GPU", "Apple Silicon (MPS), shares the RAM", needed, "ok")
    if not reading.gpus:
        if need is None:
            return Row("gpu", "GPU", "none", needed, "not applicable")
        return Row(
            "gpu",
            "GPU",
            "none",
            needed,
            "fails",
            f"use a machine with an NVIDIA GPU of {need.good:g} GiB (nvidia-smi must list it), "
            f"or {_TINY}",
        )
    found = "; ".join(_describe(one) for one in reading.gpus)
    if need is None:
        return Row("gpu", "GPU", found, needed, "ok")
    verdict, do = _enough(reading.gpus, need)
    return Row("gpu", "GPU", found, needed, verdict, do)


def torch_build(needs_gpu: bool) -> Row:
    """The installed torch and what it was built for, read from its files."""
    needed = "a build for the GPU" if needs_gpu else "any build"
    version = installed("torch")
    if version is None:
        return Row("torch", "PyTorch", "not installed", needed, "fails", "make setup")
    cuda = _torch_cuda()
    suits = bool(cuda) or _apple_silicon()
    found = f"{version}, {f'CUDA {cuda}' if cuda else 'MPS' if suits else 'CPU only'}"
    if suits or not (needs_gpu or read_gpus().gpus):
        return Row("torch", "PyTorch", found, needed, "ok")
    return Row(
        "torch",
        "PyTorch",
        found,
        needed,
        "fails" if needs_gpu else "warning",
        "python -m pip install --force-reinstall torch, from a package index with CUDA builds",
    )


def llama_cpp() -> Row:
    """llama-cpp-python, and the backends its build contains."""
    version = installed("llama-cpp-python")
    if version is None:
        return Row("llama", "llama-cpp-python", "not installed", "any", "fails", "make setup")
    found = f"{version}, {', '.join(_llama_backends()) or 'CPU'}"
    return Row("llama", "llama-cpp-python", found, "any build", "ok")


def bitsandbytes() -> Row:
    """bitsandbytes, which only QLoRA needs."""
    version = installed("bitsandbytes")
    needed = 'for train.method = "qlora"'
    if version:
        return Row("bitsandbytes", "bitsandbytes", version, needed, "ok")
    return Row("bitsandbytes", "bitsandbytes", "not installed", needed, "not applicable")


def installed(distribution: str) -> str | None:
    """The installed version of a distribution, without importing it."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _enough(gpus: list[Gpu], need: Amount) -> tuple[Verdict, str]:
    totals = [one.memory_total for one in gpus if one.memory_total is not None]
    if not totals:
        return "warning", "nvidia-smi does not tell the memory: start with train.batch_size = 1"
    largest = max(totals)
    if largest < need.least * GIB * 0.95:
        return "fails", f"use a GPU of {need.good:g} GiB, or {_TINY}"
    if largest < need.good * GIB * 0.95:
        return "warning", 'train.method = "qlora", or a lower train.batch_size'
    free = [one.memory_free for one in gpus if one.memory_free is not None]
    if free and max(free) < need.least * GIB:
        return "warning", "nvidia-smi shows who holds the memory: wait, or end those programs"
    return "ok", ""


def _describe(one: Gpu) -> str:
    total = f"{one.memory_total / GIB:.1f} GiB" if one.memory_total is not None else "? GiB"
    free = f", {one.memory_free / GIB:.1f} free" if one.memory_free is not None else ""
    return f"{one.index}: {one.name}, {total}{free}, driver {one.driver or '?'}"


def _apple_silicon() -> bool:
    return platform.system() == "Darwin" and platform.machine() == "arm64"


def _torch_cuda() -> str | None:
    """The CUDA (or ROCm) version in torch/version.py; its version number need not tell."""
    file = Path(str(importlib.metadata.distribution("torch").locate_file("torch/version.py")))
    try:
        text = file.read_text("utf-8", errors="replace")
    except OSError:
        return None
    built = re.search(r"^(?:cuda|hip)\b[^=\n]*=\s*['\"]([^'\"]+)['\"]", text, re.MULTILINE)
    return built.group(1) if built else None


def _llama_backends() -> list[str]:
    distribution = importlib.metadata.distribution("llama-cpp-python")
    folder = Path(str(distribution.locate_file("llama_cpp/lib")))
    names = {file.name.split(".")[0] for file in folder.glob("libggml-*")}
    known = {"libggml-cuda": "CUDA", "libggml-metal": "Metal", "libggml-vulkan": "Vulkan"}
    return [title for name, title in known.items() if name in names]
