"""Rows about the GPUs: which there are, what they can, and who holds their memory."""

from __future__ import annotations

import os
import platform

from haruon_tui.hardware import cuda
from haruon_tui.hardware.gpus import Gpu, GpuProcess, Reading
from haruon_tui.hardware.libraries import apple_silicon, torch_cuda
from haruon_tui.hardware.needs import GIB, gib
from haruon_tui.hardware.recipe_needs import Fit, Training
from haruon_tui.hardware.row import Row, Verdict

_TINY = 'profile = "tiny"'
_SMI = "nvidia-smi"
_STAY = "nvidia-smi -pm 1"
_ALL_GPUS = 'hardware.gpus = "auto"'
_NO_GPUS = "hardware.gpus = []"
_NOTHING: Verdict = "not applicable"
_MPS_SHARE = 0.7
"""macOS lets the GPU wire about that share of the RAM (Metal's recommendedMaxWorkingSetSize)."""


def gpu(needed: bool, guide: float, reading: Reading) -> Row:
    """The GPUs by name, memory and driver. `guide` is what the guide asks for, in GiB."""
    words = (
        f"an NVIDIA GPU or Apple Silicon; the guide asks for {guide:g} GiB" if needed else "none"
    )
    if reading.problem:
        return _trouble("gpu", "GPU", reading.problem, words)
    if reading.gpus:
        found = "; ".join(f"{one.index}: {one.name}, {_memory(one)}" for one in reading.gpus)
        return Row("gpu", "GPU", found, words, "ok")
    if apple_silicon():
        return Row("gpu", "GPU", "Apple Silicon (MPS), shares the RAM", words, "ok")
    if not needed:
        return Row("gpu", "GPU", "none", words, _NOTHING)
    do = f"use a machine where {_SMI} lists a GPU; or {_TINY}"
    return Row("gpu", "GPU", "none", words, "fails", do, (_SMI,), (_TINY,))


def video_memory(
    training: Training | None, needed: bool, reading: Reading, chosen: list[int] | None, ram: int
) -> Row:
    """Whether the configured recipe fits into one GPU, as the memory estimate has it: into all of
    its memory, and into what is free now. `chosen` are the GPUs that jobs may use, None for all.
    Apple Silicon takes it from the `ram` (bytes)."""
    key, title = "vram", "GPU memory"
    if training is None:
        found = "no estimate: the model's config.json is not here yet"
        return Row(key, title, found, "as much as the model takes", _NOTHING)
    usable = [one for one in reading.gpus if chosen is None or one.index in chosen]
    training = training.on_gpu(_newest(usable))
    apple = apple_silicon() and not reading.gpus
    need = training.bytes("mps" if apple else "cuda")
    words = f"{gib(need)} for {training.words}, by estimate"
    if reading.problem:
        return _trouble(key, title, reading.problem, words)
    if apple:
        found, room = f"{gib(ram)}, shared with the CPU", int(ram * _MPS_SHARE)
        if need < room:
            return Row(key, title, found, words, "ok")
        return _too_small(training, training.fit(room, "mps"), found, words)
    if not reading.gpus:
        if not needed:
            return Row(key, title, "none", words, _NOTHING)
        return _no_gpu(training, words)
    found = "; ".join(_room(one, need) for one in reading.gpus)
    if not usable:
        found += "; hardware.gpus lets jobs use none of them"
        if not needed:
            return Row(key, title, found, words, _NOTHING)
        return Row(key, title, found, words, "fails", _ALL_GPUS, (), (_ALL_GPUS,))
    totals = [one.memory_total for one in usable if one.memory_total is not None]
    free = [one.memory_free for one in usable if one.memory_free is not None]
    if not totals:
        batch = "train.batch_size = 1"
        do = f"{_SMI} does not tell the memory: start with {batch}"
        return Row(key, title, found, words, "warning", do, (_SMI,), (batch,))
    if max(totals) < need:
        fit = training.fit(max(totals))
        if fit and fit.of_itself:
            do = f"nothing: of itself the training takes {_fitting(fit)}"
            return Row(key, title, found, words, "warning", do, (), fit.settings)
        return _too_small(training, fit, found, words, needed=needed)
    if free and max(free) < need:
        fit = training.fit(max(free))
        do = f"wait for the programs that {_SMI} shows, or end them"
        do += f"; or {_fitting(fit)}" if fit else ""
        return Row(key, title, found, words, "warning", do, (_SMI,), fit.settings if fit else ())
    return Row(key, title, found, words, "ok")


def driver(reading: Reading) -> Row:
    """The driver, the CUDA version that it supports in full, and what the installed torch was
    built for (haruon_tui.hardware.cuda has the table and its source)."""
    key, title = "driver", "Driver"
    built_for = torch_cuda()
    built = cuda.version(built_for)
    words = (
        f"for CUDA {built_for}, as torch is built" if built else "any: torch is not built for CUDA"
    )
    if not reading.gpus:
        return Row(key, title, _why_none(reading, "no NVIDIA driver answers"), words, _NOTHING)
    given = next((one.driver for one in reading.gpus if one.driver), None)
    numbers = cuda.version(given)
    if numbers is None:
        return _row(key, title, f"unknown: {given or 'not told'}", words, "warning", _SMI, _SMI)
    newest = cuda.newest_cuda(numbers)
    found = f"{given}, CUDA {cuda.dotted(newest)}" if newest else f"{given}, CUDA before 11"
    if built is None or built[0] not in cuda.LEAST_DRIVER:
        return Row(key, title, found, words, "ok")
    least = cuda.LEAST_DRIVER[built[0]]
    words = f"{cuda.dotted(least)} or newer for CUDA {built_for}, as torch is built"
    if numbers >= least:
        return Row(key, title, found, words, "ok")
    install = ".venv/bin/python -m pip install --force-reinstall torch"
    do = (
        f"install the driver {cuda.dotted(least)} or newer; or a torch for CUDA "
        f"{cuda.dotted(newest or (11, 8))}: {install} --index-url of that build"
    )
    return Row(key, title, found, words, "fails", do, (install,))


def capability(precision: str, reading: Reading) -> Row:
    """Compute capability: bf16 and flash attention from 8.0 on, and what torch's build asks."""
    key, title, words = "capability", "Compute capability", "8.0 for bf16 and flash attention"
    if not reading.gpus:
        return Row(key, title, _why_none(reading), words, _NOTHING)
    newest = _newest(reading.gpus)
    found = "; ".join(f"{one.index}: {_capability(one)}" for one in reading.gpus)
    if newest is None:
        return _row(
            key, title, f"unknown: {found}", words, "warning", f"{_SMI} is too old to tell", _SMI
        )
    built = cuda.version(torch_cuda())
    least = cuda.LEAST_CAPABILITY.get(built[0]) if built else None
    if built and least and newest < least:
        install = ".venv/bin/python -m pip install --force-reinstall torch==2.8.0"
        do = f"CUDA {built[0]} left this GPU behind; a torch for CUDA 12 has it: {install}"
        words = f"{cuda.dotted(least)} for this torch"
        return Row(key, title, found, words, "fails", do, (install,))
    if newest >= cuda.BF16:
        return Row(key, title, found, words, "ok")
    half = 'train.precision = "fp16"'
    if precision == "bf16":
        return Row(key, title, found, words, "warning", f"{half}: bf16 is slow here", (), (half,))
    taken = "fp32" if precision == "auto" else precision
    return Row(key, title, f"{found}; {taken} is taken", words, "ok")


def processes(reading: Reading, found: list[GpuProcess] | None) -> Row:
    """Other programs that hold GPU memory: pid, user, GiB. Ours are this process's children."""
    key, title, words = "processes", "Others on the GPU", "under 1 GiB"
    if not reading.gpus:
        return Row(key, title, _why_none(reading), words, _NOTHING)
    if found is None:
        return _row(key, title, "unknown: the driver does not tell", words, "warning", _SMI, _SMI)
    others = [one for one in found if one.pid != os.getpid()]
    if not others:
        return Row(key, title, "none", words, "ok")
    text = "; ".join(_holder(one) for one in others[:8])
    text += f"; and {len(others) - 8} more" if len(others) > 8 else ""
    held = sum(one.memory or 0 for one in others)
    unknown = any(one.memory is None for one in others)
    if held < GIB and not unknown:
        return Row(key, title, text, words, "ok")
    do = f"wait until they end; {_SMI} shows them, and haruon monitor how the memory changes"
    return Row(key, title, text, words, "warning", do, (_SMI, "haruon monitor"))


def mps() -> Row:
    """Apple's GPU through Metal, from macOS 14 on as torch builds need."""
    key, title, words = "mps", "Apple GPU (MPS)", "macOS 14 or newer"
    if not apple_silicon():
        return Row(key, title, "no Apple Silicon", words, _NOTHING)
    version = platform.mac_ver()[0]
    if (cuda.version(version) or (0,)) >= (14,):
        return Row(key, title, f"macOS {version}", words, "ok")
    command = "softwareupdate --list"
    return _row(
        key, title, f"macOS {version}", words, "warning", f"{command}, then update", command
    )


def _too_small(
    training: Training, fit: Fit | None, found: str, words: str, *, needed: bool = True
) -> Row:
    """The recipe does not fit: which settings would, else what to look for."""
    verdict: Verdict = "fails" if needed else "warning"
    if fit is None:
        do = f"use a larger GPU; or {_TINY}"
        return Row("vram", "GPU memory", found, words, verdict, do, (), (_TINY,))
    do = f"{_fitting(fit)}; or {_TINY}"
    return Row("vram", "GPU memory", found, words, verdict, do, (), (*fit.settings, _TINY))


def _no_gpu(training: Training, words: str) -> Row:
    least = training.least()
    if least is None:
        do = f"use a machine with a GPU; or {_TINY}"
        return Row("vram", "GPU memory", "none", words, "fails", do, (), (_TINY,))
    size, fit = least
    do = f"a GPU of {size / GIB:.0f} GiB does with {_fitting(fit)}; or {_TINY}"
    return Row("vram", "GPU memory", "none", words, "fails", do, (), (*fit.settings, _TINY))


def _fitting(fit: Fit) -> str:
    return f"{', '.join(fit.settings)}, which takes {gib(fit.bytes)}"


def _why_none(reading: Reading, words: str = "no NVIDIA GPU") -> str:
    """Only the first rows warn of a driver in trouble; the others say that they know nothing."""
    return f"unknown: {reading.problem}" if reading.problem else words


def _trouble(key: str, title: str, problem: str, words: str) -> Row:
    do = (
        f"{_SMI} must answer: {_STAY} keeps a slow driver loaded (as root), else restart the "
        f"machine; or {_NO_GPUS}, which uses the CPU"
    )
    found = f"unknown: {problem}"
    return Row(key, title, found, words, "warning", do, (_SMI, _STAY), (_NO_GPUS,))


def _row(
    key: str, title: str, found: str, needed: str, verdict: Verdict, do: str, command: str
) -> Row:
    return Row(key, title, found, needed, verdict, do, (command,))


def _memory(one: Gpu) -> str:
    return gib(one.memory_total) if one.memory_total is not None else "memory N/A"


def _room(one: Gpu, need: int) -> str:
    if one.memory_total is None:
        return f"{one.index}: N/A"
    free = one.memory_free
    state = "free N/A" if free is None else f"{gib(free)} free"
    return f"{one.index}: {state} of {gib(one.memory_total)}"


def _newest(gpus: list[Gpu]) -> tuple[int, int] | None:
    """The highest compute capability of those that tell it."""
    return max((one.compute_capability for one in gpus if one.compute_capability), default=None)


def _capability(one: Gpu) -> str:
    known = one.compute_capability
    if not known:
        return "N/A"
    return f"{cuda.dotted(known)}, {'bf16 and flash attention' if known >= cuda.BF16 else 'fp16'}"


def _holder(one: GpuProcess) -> str:
    memory = gib(one.memory) if one.memory is not None else "N/A"
    who = ", ".join(filter(None, (one.user, one.name))) or "not of this container"
    return f"GPU {one.gpu_index}: pid {one.pid} ({who}) {memory}"
