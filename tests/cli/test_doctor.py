"""`haruon doctor`: exit codes, a JSON document that stays what it is, and advice that works."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from haruon_tui.workspace import Workspace

KEYS = {"format", "host", "profile", "can_run", "verdicts", "rows", "memory"}
ROW = {
    "key", "title", "found", "needed", "verdict", "do", "commands", "settings", "group",
}  # fmt: skip
MEMORY = {
    "device", "kind", "free", "total", "fits", "architecture", "estimate", "what_fits",
}  # fmt: skip
PARTS = {
    "weights", "adapter", "gradients", "optimizer", "activations", "logits", "buffers", "total",
}  # fmt: skip


def doctor(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "haruon_tui", "doctor", *arguments],
        cwd=folder,
        env=os.environ | {"CUDA_VISIBLE_DEVICES": ""} | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture
def without_gpu(tmp_path: Path) -> dict[str, str]:
    """Environment of a machine without NVML, with a pynvml that cannot be imported, and without
    nvidia-smi, with nothing on PATH."""
    (tmp_path / "no-nvml").mkdir()
    (tmp_path / "no-nvml" / "pynvml.py").write_text("raise ImportError")
    return {"PYTHONPATH": str(tmp_path / "no-nvml"), "PATH": str(tmp_path / "no-programs")}


def test_tiny_can_run_without_a_gpu(tmp_path: Path, without_gpu: dict[str, str]) -> None:
    folder = Workspace.init(tmp_path / "작업", "tiny").folder
    done = doctor(folder, "--json", **without_gpu)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert set(found) == KEYS
    assert (found["format"], found["profile"], found["can_run"]) == (1, "tiny", True)
    assert all(set(row) == ROW for row in found["rows"])
    assert sum(found["verdicts"].values()) == len(found["rows"])
    assert set(found["memory"]) == MEMORY
    assert set(found["memory"]["estimate"]) == PARTS
    assert (found["memory"]["kind"], found["memory"]["fits"]) == ("cpu", True)


def test_qwen2_cannot_and_the_rows_say_why_and_what_would_fit(
    tmp_path: Path, without_gpu: dict[str, str]
) -> None:
    folder = Workspace.init(tmp_path / "ws", "qwen2-1.5b").folder
    done = doctor(folder, "--json", **without_gpu)
    assert done.returncode == 1, done.stderr
    found = json.loads(done.stdout)
    assert not found["can_run"]
    rows = {row["key"]: row for row in found["rows"]}
    assert (rows["gpu"]["verdict"], rows["vram"]["verdict"]) == ("fails", "fails")
    assert "GiB for lora" in rows["vram"]["needed"]
    assert re.search(r"a GPU of \d+ GiB does with train\.", rows["vram"]["do"])
    assert any(line.startswith("train.") for line in rows["vram"]["settings"])
    assert 'profile = "tiny"' in rows["gpu"]["settings"]
    plain = doctor(folder, **without_gpu)
    assert plain.returncode == 1
    for row in found["rows"]:
        assert row["title"] in plain.stdout
    assert rows["vram"]["do"] in plain.stdout


def test_a_hanging_driver_costs_the_doctor_less_than_three_seconds(
    tmp_path: Path, without_gpu: dict[str, str]
) -> None:
    program = tmp_path / "bin" / "nvidia-smi"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nexec /bin/sleep 60\n")
    program.chmod(0o755)
    timed = (
        "import subprocess, sys, time; s = time.monotonic();"
        "subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL); print(time.monotonic() - s)"
    )
    path = {"PATH": str(program.parent)}
    command = [sys.executable, "-c", timed, sys.executable, "-m", "haruon_tui", "doctor"]
    seconds = 99.0
    for _ in range(3):  # the machine may be busy with other tests
        done = subprocess.run(
            command, cwd=tmp_path, env=os.environ | without_gpu | path, capture_output=True
        )
        seconds = min(seconds, float(done.stdout))
        if seconds < 3:
            break
    assert seconds < 3


def test_a_broken_haruon_toml_is_named_and_not_replaced_by_tiny(tmp_path: Path) -> None:
    folder = Workspace.init(tmp_path / "ws", "tiny").folder
    (folder / "haruon.toml").write_text("profile = 3\n")
    done = doctor(folder)
    assert done.returncode == 2
    assert "haruon.toml" in done.stderr
    assert "Traceback" not in done.stderr


def test_detach_is_for_the_test_alone(tmp_path: Path) -> None:
    done = doctor(tmp_path, "--detach")
    assert done.returncode == 2
    assert "haruon doctor --test --detach" in done.stderr
