"""Device tickets: who may use a device now, decided by file locks alone.

A ticket is a numbered file in one folder per user and host, locked by its process for as long as
it waits or works. A process may work when no locked ticket with a lower number wants one of its
devices. The kernel drops the lock of a process that dies, so a crash never blocks the queue, and
no program has to stay open for the queue to move on.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import platformdirs

from haruon_tui.errors import Stopped

QUIET = "quiet"
"""The device name that conflicts with every other: the machine to oneself."""

_POLL_SECONDS = 0.2


def folder() -> Path:
    """Where this host's tickets live. HARUON_STATE_DIR moves it (tests do)."""
    root = os.environ.get("HARUON_STATE_DIR")
    state = Path(root) if root else platformdirs.user_state_path("haruon")
    return state / "tickets" / os.uname().nodename


@contextmanager
def ticket(
    devices: tuple[str, ...],
    *,
    job: str,
    stop_requested: Callable[[], bool] = lambda: False,
    on_wait: Callable[[list[str]], None] = lambda jobs: None,
) -> Iterator[None]:
    """Hold `devices` while the body runs, waiting in the order of arrival.

    `on_wait` hears which jobs are ahead, each time that changes. Raises Stopped when
    `stop_requested` turns true while waiting. No devices: no waiting.
    """
    if not devices:
        yield
        return
    own, descriptor = _draw(devices, job)
    try:
        ahead: list[str] | None = None
        while blockers := _ahead(own, devices):
            if stop_requested():
                raise Stopped
            if blockers != ahead:
                ahead = blockers
                on_wait(ahead)
            time.sleep(_POLL_SECONDS)
        yield
    finally:
        own.unlink(missing_ok=True)
        os.close(descriptor)


def queues() -> dict[str, list[str]]:
    """The jobs that hold or wait for each device, in the order of their tickets."""
    found: dict[str, list[str]] = {}
    for path in sorted(folder().glob("*.ticket")):
        if holder := _holder(path):
            for device in holder["devices"]:
                found.setdefault(device, []).append(str(holder["job"]))
    return found


def _draw(devices: tuple[str, ...], job: str) -> tuple[Path, int]:
    """Make and lock the next ticket. The folder's own lock keeps numbers unique."""
    queue = folder()
    queue.mkdir(parents=True, exist_ok=True)
    with (queue / "lock").open("w") as gate:
        fcntl.flock(gate, fcntl.LOCK_EX)
        number = max((int(path.stem) for path in queue.glob("*.ticket")), default=0) + 1
        path = queue / f"{number:09d}.ticket"
        unlocked = queue / f"{number:09d}.drawn"
        descriptor = os.open(unlocked, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        os.write(descriptor, json.dumps({"devices": devices, "job": job}).encode())
        unlocked.rename(path)  # a ticket that others can see is locked and whole
    return path, descriptor


def _ahead(own: Path, devices: tuple[str, ...]) -> list[str]:
    """The jobs of living tickets drawn before ours that want one of our devices."""
    blockers = []
    for path in sorted(own.parent.glob("*.ticket")):
        if path.name >= own.name:
            break
        holder = _holder(path)
        if holder and _conflict(devices, tuple(holder["devices"])):
            blockers.append(str(holder["job"]))
    return blockers


def _holder(path: Path) -> dict[str, list[str]] | None:
    """What a living ticket says; a dead process's ticket is removed."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink(missing_ok=True)
        return None
    except BlockingIOError:
        loaded: dict[str, list[str]] = json.loads(os.pread(descriptor, 1 << 16, 0))
        return loaded
    finally:
        os.close(descriptor)


def _conflict(mine: tuple[str, ...], theirs: tuple[str, ...]) -> bool:
    return QUIET in mine or QUIET in theirs or bool(set(mine) & set(theirs))
