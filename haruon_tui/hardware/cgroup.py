"""The limits that a container or a scheduler sets: what the host has is not what we may use."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")
_NO_LIMIT_V1 = 1 << 62  # version 1 writes "no limit" as the largest multiple of a page


@dataclass(frozen=True)
class Limits:
    """What the control groups of this process allow; None where they set no limit.

    `memory` and `swap` in bytes; the files in `memory_folder` tell how much is in use now.
    """

    cores: float | None = None
    memory: int | None = None
    memory_folder: Path | None = None
    swap: int | None = None

    def memory_used(self) -> int | None:
        """Bytes in use within the limit, without the page cache that can be dropped."""
        if self.memory_folder is None:
            return None
        for name, inactive in (
            ("memory.current", "inactive_file"),
            ("memory.usage_in_bytes", "total_inactive_file"),
        ):
            used = _number(self.memory_folder / name)
            if used is not None:
                cache = _statistic(self.memory_folder / "memory.stat", inactive)
                return max(0, int(used) - cache)
        return None


def limits(root: Path = ROOT, membership: Path = MEMBERSHIP) -> Limits:
    """The tightest limits on the way from this process's group to the root, versions 1 and 2.

    Formats: Linux Documentation/admin-guide/cgroup-v2.rst (cpu.max, memory.max,
    memory.swap.max) and cgroup-v1 (cpu.cfs_quota_us over cpu.cfs_period_us,
    memory.limit_in_bytes).
    """
    cores: list[float] = []
    memory: list[tuple[int, Path]] = []
    swap: list[int] = []
    for folder in _folders(root, membership):
        if (share := _cores(folder)) is not None:
            cores.append(share)
        for name in ("memory.max", "memory.limit_in_bytes"):
            limit = _number(folder / name)
            if limit is not None and limit < _NO_LIMIT_V1:
                memory.append((int(limit), folder))
        if (allowed := _number(folder / "memory.swap.max")) is not None:
            swap.append(int(allowed))
    tightest, holder = min(memory, default=(None, None), key=lambda found: found[0] or 0)
    return Limits(min(cores, default=None), tightest, holder, min(swap, default=None))


def _folders(root: Path, membership: Path) -> Iterator[Path]:
    """This process's groups and all groups above them. In a container the path that
    /proc/self/cgroup names may not exist below the mounted root: the root itself then counts."""
    try:
        lines = membership.read_text("utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    for line in [*lines, "0::/"]:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        mounts = [root / name for name in controllers.split(",")] if controllers else [root]
        if len(mounts) > 1:
            mounts.append(root / controllers)
        for mount in mounts:
            group = mount / path.strip().lstrip("/")
            while group != mount and mount in group.parents:
                yield group
                group = group.parent
            yield mount


def _cores(folder: Path) -> float | None:
    quota = _words(folder / "cpu.max") or [
        *_words(folder / "cpu.cfs_quota_us"),
        *_words(folder / "cpu.cfs_period_us"),
    ]
    try:
        allowed, period = (float(word) for word in quota)
    except ValueError:  # "max", or no such files
        return None
    return allowed / period if allowed > 0 and period > 0 else None


def _number(file: Path) -> float | None:
    words = _words(file)
    try:
        return float(words[0]) if words else None
    except ValueError:
        return None


def _statistic(file: Path, key: str) -> int:
    words = _words(file)
    values = dict(zip(words[::2], words[1::2], strict=False))
    return int(values[key]) if values.get(key, "").isdigit() else 0


def _words(file: Path) -> list[str]:
    try:
        return file.read_text("ascii", errors="replace").split()
    except OSError:
        return []
