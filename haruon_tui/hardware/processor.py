"""Rows about the processor: the cores that we may use, and its instructions."""

from __future__ import annotations

import functools
import os
import platform
from pathlib import Path

from haruon_tui.hardware import cgroup
from haruon_tui.hardware.row import Row

CPUINFO = Path("/proc/cpuinfo")
_SHOWN_X86 = {
    "avx2": "AVX2",
    "fma": "FMA",
    "f16c": "F16C",
    "avx512f": "AVX-512",
    "avx512_bf16": "AVX-512 BF16",
    "avx512_vnni": "AVX-512 VNNI",
    "amx_tile": "AMX",
    "amx_bf16": "AMX BF16",
}
_SHOWN_ARM = {
    "asimd": "NEON",
    "asimddp": "dot product",
    "bf16": "BF16",
    "i8mm": "I8MM",
    "sve": "SVE",
}


def cores() -> Row:
    """The CPU's name and the cores this process may use: affinity and cgroup quota count."""
    usable, limits = usable_cores()
    there = os.cpu_count() or 1
    limited = f" of {there} ({', '.join(limits)})" if limits else ""
    found = f"{processor_name()}, {usable:g} usable core{'' if usable == 1 else 's'}{limited}"
    if usable >= 2:
        return Row("cpu", "Processor", found, "2 cores", "ok")
    command = "docker run --cpus 2" if limits else "haruon doctor --test"
    do = (
        f"raise the limit: {command}, or your scheduler's --cpus-per-task"
        if limits
        else f"it works, but slowly: {command} measures how slowly"
    )
    return Row("cpu", "Processor", found, "2 cores", "warning", do, (command,))


def usable_cores() -> tuple[float, list[str]]:
    """Cores that this process may use, and what limits them below those of the machine."""
    usable = float(_affinity())
    limits = []
    if usable < (os.cpu_count() or 1):
        limits.append(f"affinity {usable:g}")
    quota = cgroup.limits().cores
    if quota is not None and quota < usable:
        usable = quota
        limits.append(f"cgroup quota {quota:g}")
    return usable, limits


def instructions(machine: str = "") -> Row:
    """AVX2, which llama.cpp's portable build and fast matrix products rely on; AVX-512 and AMX
    where they are. On Arm, NEON and its extensions."""
    machine = machine or platform.machine()
    title = "Instructions"
    flags = cpu_flags()
    if machine not in ("x86_64", "AMD64"):
        names = [name for flag, name in _SHOWN_ARM.items() if flag in flags]
        return Row("instructions", title, ", ".join(names) or machine, "none", "ok")
    if not flags:
        return Row("instructions", title, "unknown: no /proc/cpuinfo", "AVX2", "not applicable")
    missing = [
        "AVX-512" if "avx512f" not in flags else "",
        "AMX" if "amx_tile" not in flags else "",
    ]
    names = [name for flag, name in _SHOWN_X86.items() if flag in flags]
    lacking = ", ".join(filter(None, missing))
    found = (", ".join(names) or "none of AVX2, AVX-512, AMX") + (
        f"; no {lacking}" if lacking and names else ""
    )
    if "avx2" in flags:
        return Row("instructions", title, found, "AVX2", "ok")
    command = (
        'CMAKE_ARGS="-DGGML_NATIVE=OFF -DGGML_AVX2=OFF -DGGML_FMA=OFF -DGGML_F16C=OFF" '
        ".venv/bin/python -m pip install --force-reinstall --no-deps --no-cache-dir "
        "llama-cpp-python"
    )
    return Row(
        "instructions",
        title,
        found,
        "AVX2",
        "warning",
        f"build llama.cpp without it, or it stops with an illegal instruction: {command}",
        (command,),
    )


def cpu_flags() -> frozenset[str]:
    """The flags of the first core as Linux names them; empty elsewhere."""
    return _flags(CPUINFO)


@functools.cache
def _flags(file: Path) -> frozenset[str]:
    for key in ("flags", "Features"):
        if value := _value(file, key):
            return frozenset(value.split())
    return frozenset()


def multiplies_bf16() -> bool:
    """Whether torch trains in bf16 on this CPU when the precision is "auto", as
    haruon_tui.model.compute has it, without torch."""
    return not cpu_flags().isdisjoint(("avx512_bf16", "amx_tile"))


def processor_name() -> str:
    return cpuinfo("model name") or platform.processor() or platform.machine()


def cpuinfo(key: str) -> str:
    """The first value of `key` in /proc/cpuinfo; empty where there is none."""
    return _value(CPUINFO, key)


def _value(file: Path, key: str) -> str:
    try:
        for line in file.read_text("utf-8", errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == key:
                return value.strip()
    except OSError:
        pass
    return ""


def _affinity() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
