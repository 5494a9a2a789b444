"""What a device could do at most: published for GPUs, estimated for CPUs."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from haruon_tui.hardware import processor

_MAX_CLOCK = Path("/sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq")

_VARIANTS = {"mig", "laptop", "mobile", "max", "ti", "super", "d"}


@dataclass(frozen=True)
class Peaks:
    """Matrix products in TFLOP/s, memory in GB/s, None where it is not known; `source` says where
    the figures are from, or how they were estimated."""

    bf16: float | None = None
    fp32: float | None = None
    memory: float | None = None
    source: str = ""


def of_gpu(name: str) -> Peaks:
    """The published peaks of a GPU, by the name that its driver gives it; nothing is known of one
    that is not in data/hardware/peaks.json, nor of a variant: a slice of it (MIG), a laptop's."""
    words = set(re.split(r"[^0-9a-z]+", name.lower()))
    if words & _VARIANTS:
        return Peaks()
    table: dict[str, Any] = json.loads(
        (resources.files("haruon_tui.data.hardware") / "peaks.json").read_text("utf-8")
    )
    found = [one for one in table["gpus"] if {word.lower() for word in one["words"]} <= words]
    if not found:
        return Peaks()
    best = max(found, key=lambda one: len(one["words"]))
    return Peaks(best["bf16"], best["fp32"], best["memory"], table["sources"][best["source"]])


def of_cpu(threads: int) -> Peaks:
    """Cores x clock x operations per cycle and core, an estimate: a clock that falls under load,
    and threads that share a core, do less."""
    clock = clock_ghz()
    fp32, bf16, unit = _per_cycle(
        processor.cpu_flags(), processor.cpuinfo("vendor_id"), processor.cpuinfo("cpu family")
    )
    if clock is None or fp32 is None:
        return Peaks()
    source = (
        f"estimated: {threads} cores x {clock:.1f} GHz, more when boosted, "
        f"x {fp32} fp32 operations ({unit})"
    )
    rate = threads * clock / 1000
    return Peaks(bf16 * rate if bf16 else None, fp32 * rate, None, source)


def clock_ghz() -> float | None:
    """The highest clock that the kernel names, else the one now."""
    try:
        return int(_MAX_CLOCK.read_text("ascii")) / 1e6
    except (OSError, ValueError):
        pass
    try:
        return float(processor.cpuinfo("cpu MHz")) / 1000
    except ValueError:
        return None


def _per_cycle(
    flags: frozenset[str], vendor: str, family: str
) -> tuple[int | None, int | None, str]:
    """Operations per cycle and core in fp32 and bf16: two vector units that multiply and add
    (Intel 64 and IA-32 Optimization Reference Manual; Software Optimization Guides for AMD
    family 19h and 1Ah). AMD's family 19h (25) does AVX-512 in two halves. vdpbf16ps does twice
    the products of fp32; AMX 16 x 16 x 32 of them in 16 cycles."""
    if "fma" not in flags or "avx2" not in flags:
        return None, None, ""
    halves = vendor == "AuthenticAMD" and family.isdigit() and int(family) <= 25
    wide = "avx512f" in flags and not halves
    fp32 = 64 if wide else 32
    if "amx_bf16" in flags:
        return fp32, 2048, "AVX-512, AMX"
    unit = "AVX-512" if "avx512f" in flags else "AVX2"
    return fp32, 2 * fp32 if "avx512_bf16" in flags else None, unit
