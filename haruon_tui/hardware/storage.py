"""Rows about the disks: free space at the workspace and at the model cache, and writing."""

from __future__ import annotations

import os
import shlex
import shutil
import tempfile
import time
from pathlib import Path

from haruon_tui.hardware.needs import GIB, gib
from haruon_tui.hardware.recipe_needs import Writes
from haruon_tui.hardware.row import Row, Verdict

_SPEED_SECONDS = 0.4
_SPEED_BYTES = 64 << 20
_CHUNK = 4 << 20


def disk(workspace: Path, writes: Writes | None, comfortable: float) -> Row:
    """Space that this user can fill at the workspace, against what this run will really write,
    and `comfortable` GiB, which leaves room for more than one run."""
    folder = existing(workspace)
    free = shutil.disk_usage(folder).free
    parts = writes.at_workspace() if writes else {}
    least = sum(parts.values())
    needed = f"{comfortable:g} GiB"
    if parts:
        shown = ", ".join(f"{name} {_short(size)}" for name, size in parts.items())
        needed += f"; a run writes {_short(least)}: {shown}"
    return _space("disk", "Disk at the workspace", folder, free, least, comfortable, needed)


def cache_disk(workspace: Path, writes: Writes | None, cache: Path) -> Row:
    """Space where models from the Hub are kept (HF_HUB_CACHE, HF_HOME)."""
    folder = existing(cache)
    free = shutil.disk_usage(folder).free
    title = "Disk at the model cache"
    least = writes.cache if writes else 0
    if not least:
        found = f"{gib(free)} at {cache}"
        return Row("cache-disk", title, found, "nothing: no model to fetch", "ok")
    needed = f"{_short(least)} for the base model"
    if _same_disk(folder, existing(workspace)):
        return Row("cache-disk", title, f"{gib(free)} at {cache}", f"{needed} (same disk)", "ok")
    return _space("cache-disk", title, folder, free, least, least * 2 / GIB, needed)


def write_speed(workspace: Path, comfortable: float) -> Row:
    """Whether a file can be made in the workspace, and how fast up to 64 MiB reach the disk,
    fsync included. The file leaves no trace. `comfortable` in MB/s."""
    key, title, folder = "write", "Writing", existing(workspace)
    needed = f"allowed, {comfortable:g} MB/s"
    block, written = os.urandom(_CHUNK), 0
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            started = time.monotonic()
            while written < _SPEED_BYTES and time.monotonic() - started < _SPEED_SECONDS:
                file.write(block)
                file.flush()
                os.fsync(file.fileno())
                written += _CHUNK
            seconds = time.monotonic() - started
    except OSError as error:
        found = f"{folder}: {error.strerror or error}"
        quoted = shlex.quote(str(folder))
        look, space = f"ls -ld {quoted}", f"df -h {quoted}"
        do = f"{look} and {space} show why; or haruon init in another folder"
        return Row(key, title, found, needed, "fails", do, (look, space, "haruon init"))
    speed = written / seconds / 1e6
    found = f"{speed:.0f} MB/s at {folder}"
    if speed >= comfortable:
        return Row(key, title, found, needed, "ok")
    do = "haruon init on a local disk; haruon doctor --test measures for longer"
    return Row(key, title, found, needed, "warning", do, ("haruon init", "haruon doctor --test"))


def existing(path: Path) -> Path:
    """`path`, or the nearest folder above it that is there."""
    path = path.absolute()
    return next(folder for folder in (path, *path.parents) if folder.is_dir())


def _space(
    key: str, title: str, folder: Path, free: int, least: int, comfortable: float, needed: str
) -> Row:
    found = f"{gib(free)} at {folder}"
    if free >= comfortable * GIB * 0.95 and free >= least:
        return Row(key, title, found, needed, "ok")
    verdict: Verdict = "fails" if free < least else "warning"
    if key == "cache-disk":
        command = "export HF_HOME=/path/on/a/larger/disk"
        return Row(key, title, found, needed, verdict, command, (command,))
    do = "haruon jobs prune, or haruon init on a larger disk"
    return Row(key, title, found, needed, verdict, do, ("haruon jobs prune", "haruon init"))


def _same_disk(one: Path, other: Path) -> bool:
    return one.stat().st_dev == other.stat().st_dev


def _short(size: float) -> str:
    return f"{size / GIB:.1f} GiB" if size >= GIB / 10 else f"{size / (1 << 20):.0f} MiB"
