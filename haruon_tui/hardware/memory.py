"""Rows about RAM and swap."""

from __future__ import annotations

import psutil

from haruon_tui.hardware import cgroup
from haruon_tui.hardware.needs import Amount, gib, verdict_of
from haruon_tui.hardware.row import Row

_SMALLER = ("train.batch_size = 1", "train.gradient_checkpointing = true")


def memory(need: Amount) -> Row:
    """RAM that this process may use: a container sees its own limit, not the host's."""
    here, room = psutil.virtual_memory(), usable()
    limited = room < here.total
    found = gib(room)
    if limited:
        found += f" (cgroup limit; the host has {gib(here.total)})"
    else:
        found += f", {gib(here.available)} available"
    verdict = verdict_of(room, need)
    if verdict == "ok":
        return Row("ram", "Memory", found, str(need), verdict)
    if limited:
        command = f"docker run --memory {need.good:g}g"
        do = f"raise the limit: {command}, or your scheduler's --mem"
        return Row("ram", "Memory", found, str(need), verdict, do, (command,))
    do = f"haruon monitor shows what is in use; or {' and '.join(_SMALLER)}"
    settings: tuple[str, ...] = _SMALLER
    if verdict == "fails":
        do, settings = f'{do}; or profile = "tiny"', (*_SMALLER, 'profile = "tiny"')
    return Row("ram", "Memory", found, str(need), verdict, do, ("haruon monitor",), settings)


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
