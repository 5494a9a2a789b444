"""Rows about the machine itself: system, processor, memory, disk."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
from pathlib import Path

import psutil

from haruon_tui.hardware import cgroup
from haruon_tui.hardware.needs import GIB, Amount
from haruon_tui.hardware.row import Row, Verdict

_OLDEST_PYTHON = (3, 11)


def operating_system() -> Row:
    """Linux or macOS: the job engine relies on POSIX file locks and sessions."""
    name = platform.system()
    try:
        found = platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        found = f"macOS {platform.mac_ver()[0]}" if name == "Darwin" else platform.platform()
    good = name in ("Linux", "Darwin")
    return Row(
        "os",
        "Operating system",
        f"{found}, {name} {platform.release()}, {platform.machine()}",
        "Linux or macOS",
        "ok" if good else "fails",
        "" if good else "use Linux or macOS; on Windows: wsl --install",
    )


def python() -> Row:
    """The Python that runs this, and its environment."""
    good = sys.version_info >= _OLDEST_PYTHON
    conda = os.environ.get("CONDA_DEFAULT_ENV")
    if sys.prefix != sys.base_prefix:
        where = "virtual environment"
    else:
        where = f"conda environment {conda}" if conda else "system Python"
    return Row(
        "python",
        "Python",
        f"{platform.python_version()}, {where}",
        "3.11 or newer",
        "ok" if good else "fails",
        "" if good else "install python3.11, then: make setup",
    )


def git() -> Row:
    """Git is wanted for keeping a workspace's settings and data under version control."""
    path = shutil.which("git")
    return Row(
        "git",
        "Git",
        path or "not found",
        "any version",
        "ok" if path else "warning",
        "" if path else "sudo apt-get install git",
    )


def processor() -> Row:
    """The CPU's name and the cores this process may use: affinity and cgroup quota count."""
    usable = float(_affinity())
    quota = cgroup.limits().cores
    limits = []
    there = os.cpu_count() or 1
    if usable < there:
        limits.append(f"affinity {usable:g}")
    if quota is not None and quota < usable:
        usable = quota
        limits.append(f"cgroup quota {quota:g}")
    limited = f" of {there} ({', '.join(limits)})" if limits else ""
    return Row(
        "cpu",
        "Processor",
        f"{_processor_name()}, {usable:g} usable core{'' if usable == 1 else 's'}{limited}",
        "2 cores",
        "ok" if usable >= 2 else "warning",
        "" if usable >= 2 else "raise the CPU limit (docker run --cpus 2); it works, but slowly",
    )


def memory(need: Amount) -> Row:
    """RAM that this process may use: a container sees its own limit."""
    total = psutil.virtual_memory().total
    limit = cgroup.limits().memory
    limited = limit is not None and limit < total
    usable = limit if limit is not None and limited else total
    verdict = _verdict(usable, need)
    do = ""
    if verdict != "ok":
        do = (
            "raise the memory limit (docker run --memory, or your scheduler's --mem)"
            if limited
            else "close other programs, lower train.batch_size and train.max_length, "
            "or use a machine with more RAM"
        )
    return Row(
        "ram",
        "Memory",
        f"{_gib(usable)}{f' (cgroup limit; the host has {_gib(total)})' if limited else ''}",
        str(need),
        verdict,
        do,
    )


def swap() -> Row:
    """Swap: never needed, but it turns an out-of-memory kill into slowness."""
    total = psutil.swap_memory().total
    return Row("swap", "Swap", _gib(total) if total else "none", "not needed", "ok")


def disk(workspace: Path, need: Amount) -> Row:
    """Space that this user can fill at the workspace."""
    free = shutil.disk_usage(_existing(workspace)).free
    verdict = _verdict(free, need)
    return Row(
        "disk",
        "Free disk space",
        f"{_gib(free)} at {workspace}",
        str(need),
        verdict,
        "" if verdict == "ok" else "haruon jobs prune, or haruon init on a larger disk",
    )


def write_permission(workspace: Path) -> Row:
    """Whether a file can be made in the workspace; the one tried leaves no trace."""
    folder = _existing(workspace)
    try:
        with tempfile.TemporaryFile(dir=folder):
            problem = ""
    except OSError as error:
        problem = error.strerror or str(error)
    return Row(
        "write",
        "Write permission",
        f"{folder}: {problem or 'yes'}",
        "yes",
        "fails" if problem else "ok",
        f"ls -ld {folder}; df -h {folder}; or haruon init in another folder" if problem else "",
    )


def _affinity() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _processor_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text("utf-8", errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _existing(path: Path) -> Path:
    """`path`, or the nearest folder above it that is there."""
    path = path.absolute()
    return next(folder for folder in (path, *path.parents) if folder.is_dir())


def _verdict(amount: float, need: Amount) -> Verdict:
    # A machine sold with 16 GiB reports a little less, the firmware and kernel keep the rest.
    if amount < need.least * GIB * 0.95:
        return "fails"
    return "ok" if amount >= need.good * GIB * 0.95 else "warning"


def _gib(amount: float) -> str:
    return f"{amount / GIB:.1f} GiB"
