import time
from typing import Any

import psutil
import pytest

from haruon_tui.hardware import monitor
from haruon_tui.hardware.cgroup import Limits
from haruon_tui.hardware.monitor import Monitor


def busy_for(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def test_load_is_known_once_there_was_time_to_have_one(no_gpu: None) -> None:
    looking = Monitor()
    assert looking.sample().cpu_percent is None
    busy_for(0.3)
    sample = looking.sample()
    assert len(sample.per_core) == psutil.cpu_count()
    assert max(sample.per_core) > 20.0
    assert all(0.0 <= core <= 100.0 for core in sample.per_core)
    assert sample.memory_total
    assert 0 < (sample.memory_used or 0) < sample.memory_total
    assert sample.gpus == []


def test_samples_in_quick_succession_keep_the_last_load(no_gpu: None) -> None:
    looking = Monitor()
    busy_for(0.2)
    assert looking.sample().per_core == looking.sample().per_core != []


def test_gpus_with_missing_readings_are_shown(nvidia_smi: Any) -> None:
    nvidia_smi('echo "0, GPU-a, [N/A], 8192, [N/A], 0, 550, NVIDIA X, 0, No, No, 40"')
    gpu = Monitor().sample().gpus[0]
    assert (gpu.memory_total, gpu.memory_used, gpu.utilisation) == (8 << 30, None, None)


def test_a_container_shows_its_own_memory(no_gpu: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitor.cgroup, "limits", lambda: Limits(memory=1 << 20))
    assert Monitor().sample().memory_total == 1 << 20


def test_what_cannot_be_read_is_none(no_gpu: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise OSError("no /proc here")

    monkeypatch.setattr(psutil, "cpu_times", refuse)
    monkeypatch.setattr(psutil, "virtual_memory", refuse)
    sample = Monitor().sample()
    assert (sample.cpu_percent, sample.per_core, sample.memory_total) == (None, [], None)
