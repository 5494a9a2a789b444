"""A job's samples count all its processes, and its GPU memory where the driver tells."""

from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace

import psutil
import pytest

from haruon_tui.hardware.gpus import Gpu, GpuProcess, Reading
from haruon_tui.jobs import samples
from haruon_tui.jobs.samples import Sampler

GIB = 1 << 30


def own() -> int:
    return psutil.Process().memory_info().rss


def test_processes_that_the_job_started_are_counted():
    sampler = Sampler(())
    hold = "import sys; held = bytearray(200 << 20); print('here', flush=True); sys.stdin.read()"
    child = subprocess.Popen(
        [sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert child.stdout
        assert child.stdout.readline() == b"here\n"
        assert sampler.sample()["rss_bytes"] >= own() + (200 << 20)
    finally:
        child.communicate()
    assert sampler.sample()["rss_bytes"] < own() + (100 << 20)


def test_gpu_memory_is_that_of_the_jobs_own_processes(monkeypatch: pytest.MonkeyPatch):
    cards = [Gpu(0, "A", 24 * GIB, 20 * GIB, 50.0), Gpu(1, "B")]
    holders = [GpuProcess(1, os.getpid(), 3 * GIB), GpuProcess(1, 1, 17 * GIB)]
    monkeypatch.setattr(samples, "read_gpus", lambda: Reading(cards))
    monkeypatch.setattr(samples, "read_processes", lambda gpus: holders)
    sample = Sampler(("gpu1",)).sample()
    assert sample["gpu_bytes"] == 3 * GIB
    unknown = {"utilisation": None, "memory_used": None, "memory_total": None}
    assert sample["gpus"] == [{"index": 1, **unknown}]
    assert "gpus" not in Sampler(("cpu",)).sample()


def test_where_the_driver_names_other_pids_torch_tells(monkeypatch: pytest.MonkeyPatch):
    cuda = SimpleNamespace(
        is_initialized=lambda: True, device_count=lambda: 1, memory_reserved=lambda index: 5 * GIB
    )
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    monkeypatch.setattr(samples, "read_gpus", lambda: Reading([Gpu(0, "A")]))
    monkeypatch.setattr(samples, "read_processes", lambda gpus: None)
    assert Sampler(("gpu0",)).sample()["gpu_bytes"] == 5 * GIB
