"""Rows about the operating system and the programs around this one."""

from __future__ import annotations

import os
import platform
import shutil
import sys

from haruon_tui.hardware.row import Row

_OLDEST_PYTHON = (3, 11)


def operating_system() -> Row:
    """Linux or macOS: the job engine relies on POSIX file locks and sessions."""
    name = platform.system()
    try:
        found = platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        found = f"macOS {platform.mac_ver()[0]}" if name == "Darwin" else platform.platform()
    found = f"{found}, {name} {platform.release()}, {platform.machine()}"
    if name in ("Linux", "Darwin"):
        return Row("os", "Operating system", found, "Linux or macOS", "ok")
    do = "use Linux or macOS; on Windows: wsl --install"
    return Row("os", "Operating system", found, "Linux or macOS", "fails", do, ("wsl --install",))


def python() -> Row:
    """The Python that runs this. The guide's 3.9 is too old for today's transformers."""
    needed = "3.11 or newer"
    if sys.version_info >= _OLDEST_PYTHON:
        return Row("python", "Python", platform.python_version(), needed, "ok")
    return Row(
        "python",
        "Python",
        platform.python_version(),
        needed,
        "fails",
        "install Python 3.11 or newer, then: make setup",
        ("make setup",),
    )


def environment() -> Row:
    """A virtual or conda environment keeps these packages apart from the system's."""
    needed = "conda or venv"
    conda = os.environ.get("CONDA_DEFAULT_ENV")
    if sys.prefix != sys.base_prefix:
        return Row("environment", "Environment", f"venv {sys.prefix}", needed, "ok")
    if conda and os.environ.get("CONDA_PREFIX") == sys.prefix:
        return Row("environment", "Environment", f"conda environment {conda}", needed, "ok")
    return Row(
        "environment",
        "Environment",
        f"system Python {sys.prefix}",
        needed,
        "warning",
        "make setup makes one, in .venv",
        ("make setup",),
    )


def git() -> Row:
    """Git is wanted for keeping a workspace's settings and data under version control."""
    path = shutil.which("git")
    if path:
        return Row("git", "Git", path, "any version", "ok")
    mac = platform.system() == "Darwin"
    command = "xcode-select --install" if mac else "apt-get install git"
    return Row(
        "git", "Git", "not found", "any version", "warning", f"as root: {command}", (command,)
    )
