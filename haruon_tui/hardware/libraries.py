"""Rows about the libraries that do the work. None of them is imported here."""

from __future__ import annotations

import importlib.metadata
import platform
import re
from pathlib import Path
from typing import Any

from haruon_tui.errors import ConfigurationError
from haruon_tui.hardware import probe
from haruon_tui.hardware.gpus import Reading
from haruon_tui.hardware.llamafactory import CLI, INSTALL, version
from haruon_tui.hardware.row import Row
from haruon_tui.settings import TrainSettings

_REINSTALL_TORCH = ".venv/bin/python -m pip install --force-reinstall torch"
_REBUILD = "make setup"
_CUDA_BUILD = (
    'CMAKE_ARGS="-DGGML_NATIVE=OFF -DGGML_CUDA=ON" .venv/bin/python -m pip install '
    "--force-reinstall --no-deps --no-cache-dir llama-cpp-python"
)
_BITSANDBYTES = ".venv/bin/python -m pip install --force-reinstall --no-deps bitsandbytes"
_LORA = 'train.method = "lora"'


def torch_build(needs_gpu: bool, reading: Reading) -> Row:
    """The installed torch and what it was built for, read from its files."""
    needed = "a build for the GPU" if needs_gpu else "any build"
    found = installed("torch")
    if found is None:
        return _row("torch", "PyTorch", "not installed", needed, "fails", _REBUILD)
    cuda = torch_cuda()
    suits = bool(cuda) or apple_silicon()
    found = f"{found}, {f'CUDA {cuda}' if cuda else 'MPS' if suits else 'CPU only'}"
    if suits or not (needs_gpu or reading.gpus):
        return Row("torch", "PyTorch", found, needed, "ok")
    return Row(
        "torch",
        "PyTorch",
        found,
        needed,
        "fails" if needs_gpu else "warning",
        f"{_REINSTALL_TORCH}, from a package index with CUDA builds",
        (_REINSTALL_TORCH,),
    )


def llama_cpp(reading: Reading, seconds: float) -> Row:
    """llama-cpp-python: the backends of its build, and whether they can offload to a GPU."""
    title, needed = "llama-cpp-python", "a build for the GPU" if reading.gpus else "any build"
    found = installed("llama-cpp-python")
    if found is None:
        return _row("llama", title, "not installed", needed, "fails", _REBUILD)
    files = _llama_libraries()
    if not files:
        return _row("llama", title, f"{found}, without its library", needed, "fails", _REBUILD)
    names = {file.name.split(".")[0] for file in files}
    known = {"libggml-cuda": "CUDA", "libggml-metal": "Metal", "libggml-vulkan": "Vulkan"}
    backends = [title for name, title in known.items() if name in names]
    found = f"{found}, {', '.join(backends) or 'CPU'}"
    newest = max(file.stat().st_mtime_ns for file in files)
    drivers = [gpu.driver or "" for gpu in reading.gpus]
    answer = probe.ask("llama_cpp", [found, str(newest), *drivers], seconds)
    if problem := answer.get("problem"):
        return _row("llama", title, f"{found}: {problem}", needed, "fails", _REBUILD)
    offloads = bool(answer.get("offload"))
    found += ", can offload to the GPU" if offloads else ", cannot offload"
    if reading.gpus and not offloads:
        return _row("llama", title, found, needed, "warning", _CUDA_BUILD)
    return Row("llama", title, found, needed, "ok")


def bitsandbytes(method: str, seconds: float) -> Row:
    """bitsandbytes, which only QLoRA needs: whether it really quantizes here."""
    title, needed = "bitsandbytes", 'for train.method = "qlora"'
    found = installed("bitsandbytes")
    if method != "qlora":
        return Row("bitsandbytes", title, found or "not installed", needed, "not applicable")
    if found is None:
        found = "not installed"
    else:
        marks = [found, installed("torch") or "", torch_cuda() or ""]
        answer = probe.ask("bitsandbytes", marks, seconds)
        if "problem" not in answer:
            found = f"{found}, quantizes on the {'GPU' if answer['device'] == 'cuda' else 'CPU'}"
            return Row("bitsandbytes", title, found, needed, "ok")
        found = f"{found}: {answer['problem']}"
    do = f"{_BITSANDBYTES}; or {_LORA}"
    return Row("bitsandbytes", title, found, needed, "fails", do, (_BITSANDBYTES,), (_LORA,))


def llamafactory(train: TrainSettings) -> Row:
    """LLaMA-Factory in its own environment, which only the engine of that name needs."""
    key, title, needed = "llamafactory", "LLaMA-Factory", 'for train.engine = "llamafactory"'
    if train.engine != "llamafactory":
        return Row(key, title, "not looked for", needed, "not applicable")
    try:
        found = version(train.llamafactory_cli)
    except ConfigurationError as error:
        named, own = f'train.llamafactory_cli = "{CLI}"', 'train.engine = "built-in"'
        do = f"{INSTALL}, and {named}; or {own}"
        return Row(key, title, error.what, needed, "fails", do, (INSTALL,), (named, own))
    return Row(key, title, f"{found}, {train.llamafactory_cli}", needed, "ok")


def installed(distribution: str) -> str | None:
    """The installed version of a distribution, without importing it."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def torch_cuda() -> str | None:
    """The CUDA (or ROCm) version in torch/version.py; its version number need not tell."""
    try:
        found = importlib.metadata.distribution("torch").locate_file("torch/version.py")
        text = Path(str(found)).read_text("utf-8", errors="replace")
    except (OSError, importlib.metadata.PackageNotFoundError):
        return None
    built = re.search(r"^(?:cuda|hip)\b[^=\n]*=\s*['\"]([^'\"]+)['\"]", text, re.MULTILINE)
    return built.group(1) if built else None


def apple_silicon() -> bool:
    return platform.system() == "Darwin" and platform.machine() == "arm64"


def _row(key: str, title: str, found: str, needed: str, verdict: Any, command: str) -> Row:
    return Row(key, title, found, needed, verdict, command, (command,))


def _llama_libraries() -> list[Path]:
    distribution = importlib.metadata.distribution("llama-cpp-python")
    folder = Path(str(distribution.locate_file("llama_cpp/lib")))
    return [*folder.glob("libggml*"), *folder.glob("libllama*")]
