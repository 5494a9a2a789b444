"""Whether the process that wrote a run's log is still there, also after a reboot."""

from __future__ import annotations

import functools
import socket
from pathlib import Path

import psutil
from pydantic import BaseModel, ConfigDict

from haruon_tui.jobs import slurm

_START_TOLERANCE = 1.0  # seconds; psutil derives start times from the boot time


class Identity(BaseModel):
    """A process, beyond doubt: a pid alone comes back after a reboot or on another host."""

    model_config = ConfigDict(frozen=True)

    host: str
    boot_id: str
    pid: int
    started: float
    attempt: int
    slurm_job: str = ""
    """Where it is a job of Slurm's, which then says whether it lives."""
    start_by: float = 0.0
    """Unix seconds until which that job may wait in its queue; 0 is for ever."""

    @classmethod
    def of(cls, pid: int, attempt: int) -> Identity:
        """The process on this machine that makes the run's `attempt`.

        Raises psutil.NoSuchProcess.
        """
        return cls(
            attempt=attempt,
            host=socket.gethostname(),
            boot_id=boot_id(),
            pid=pid,
            started=psutil.Process(pid).create_time(),
        )


@functools.cache
def boot_id() -> str:
    """Changes with every boot; empty where the system does not tell."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return str(int(psutil.boot_time()))


def is_alive(identity: Identity) -> bool | None:
    """True or False on the process's own host, None when only another host could tell, or
    Slurm does not answer. Of a job of Slurm's it may take seconds."""
    if identity.slurm_job:
        return slurm.look(identity.slurm_job).alive
    if identity.host != socket.gethostname():
        return None
    if identity.boot_id != boot_id():
        return False
    try:
        process = psutil.Process(identity.pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        return abs(process.create_time() - identity.started) < _START_TOLERANCE
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True
