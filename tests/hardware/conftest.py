"""Machines to check: a recorded `nvidia-smi` on PATH, and no NVML."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from haruon_tui.hardware import nvml

Recorder = Callable[[str], None]


@pytest.fixture
def no_nvml(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine where NVML cannot load."""
    monkeypatch.setattr(nvml.LIBRARY, "_tried", True)
    monkeypatch.setattr(nvml.LIBRARY, "_library", None)


@pytest.fixture
def no_gpu(no_nvml: None, monkeypatch: pytest.MonkeyPatch) -> None:
    which = shutil.which
    monkeypatch.setattr(
        shutil, "which", lambda name: None if name == "nvidia-smi" else which(name)
    )


@pytest.fixture
def nvidia_smi(no_nvml: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """Put an `nvidia-smi` on PATH that runs the given shell lines."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    def record(script: str) -> None:
        program = folder / "nvidia-smi"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)

    return record
