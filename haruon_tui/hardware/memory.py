"""Rows about RAM and swap."""

from __future__ import annotations

import psutil

from haruon_tui.hardware import cgroup
from haruon_tui.hardware.needs import GIB, Amount, gib, verdict_of
from haruon_tui.hardware.recipe_needs import Training
from haruon_tui.hardware.row import Row

_SMALLER = ("train.batch_size = 1", "train.gradient_checkpointing = true")
_TINY = 'profile = "tiny"'
_IMPORTS = 0.8 * GIB
"""Resident in a training process once torch, transformers and trl are imported: 0.5 GiB with a
torch for the CPU, more with one for CUDA."""


def memory(need: Amount, training: Training | None = None) -> Row:
    """RAM that this process may use: a container sees its own limit, not the host's. `training` is
    what the CPU will train, if it will: it needs what the memory estimate says."""
    here, room = psutil.virtual_memory(), usable()
    needed = str(need)
    if training is not None:
        least = (training.bytes("cpu") + _IMPORTS) / GIB
        needed += f"; {least:.1f} GiB to train on the CPU: {training.words}, by estimate"
        need = Amount(max(need.least, least), max(need.good, least))
    limited = room < here.total
    found = gib(room)
    if limited:
        found += f" (cgroup limit; the host has {gib(here.total)})"
    else:
        found += f", {gib(here.available)} available"
    verdict = verdict_of(room, need)
    if verdict == "ok":
        return Row("ram", "Memory", found, needed, verdict)
    fit = training.fit(int(room - _IMPORTS), "cpu") if training is not None else None
    if fit is not None:
        do = f"{', '.join(fit.settings)}, which takes {gib(fit.bytes + _IMPORTS)}"
        return Row("ram", "Memory", found, needed, verdict, do, (), fit.settings)
    if limited:
        command = f"docker run --memory {need.good:.0f}g"
        do = f"raise the limit: {command}, or your scheduler's --mem"
        return Row("ram", "Memory", found, needed, verdict, do, (command,))
    do = f"haruon monitor shows what is in use; or {' and '.join(_SMALLER)}"
    settings: tuple[str, ...] = _SMALLER
    if verdict == "fails":
        do, settings = f"{do}; or {_TINY}", (*_SMALLER, _TINY)
    return Row("ram", "Memory", found, needed, verdict, do, ("haruon monitor",), settings)


def usable() -> int:
    """Bytes of RAM that this process may use."""
    total, limit = psutil.virtual_memory().total, cgroup.limits().memory
    return total if limit is None else min(total, limit)


def swap() -> Row:
    """Swap: never needed, but it turns an out-of-memory kill into slowness."""
    total, allowed = psutil.swap_memory().total, cgroup.limits().swap
    limited = allowed is not None and allowed < total
    found = gib(allowed if allowed is not None and limited else total) if total else "none"
    if limited:
        found += f" (cgroup limit; the host has {gib(total)})"
    return Row("swap", "Swap", found, "not needed", "ok")
