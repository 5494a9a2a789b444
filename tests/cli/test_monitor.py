"""`haruon monitor` for a terminal, a pipe and a script."""

from __future__ import annotations

import json
from typing import Any

import pytest

from haruon_tui.cli.monitor import lines, monitor
from haruon_tui.cli.parser import parse
from haruon_tui.errors import ConfigurationError
from haruon_tui.hardware import gpus
from haruon_tui.hardware.gpus import Gpu, Reading
from haruon_tui.hardware.monitor import Sample

GB = 1_000_000_000


def test_a_pipe_gets_one_line_per_sample(capsys: Any) -> None:
    assert monitor(parse(["monitor", "--count", "2", "--interval", "0.2"])) == 0
    out = capsys.readouterr().out.splitlines()
    assert len(out) == 2
    assert all("CPU" in line and "RAM" in line and "disk read" in line for line in out)


def test_a_script_gets_every_reading(capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    read = Reading([Gpu(0, "RTX 4090", 24 * GB, 23 * GB, 97.0)])
    monkeypatch.setattr(gpus, "read_gpus", lambda **_: read)
    assert monitor(parse(["monitor", "--count", "1", "--interval", "0.1", "--json"])) == 0
    sample = json.loads(capsys.readouterr().out)
    assert sample["gpus"][0]["utilisation"] == 97.0
    assert sample["gpus"][0]["power"] is None
    assert set(sample["rates"]) == {"disk_read", "disk_write", "received", "sent"}


def test_an_interval_that_cannot_be_is_refused_in_words() -> None:
    with pytest.raises(ConfigurationError, match="cannot be waited for"):
        monitor(parse(["monitor", "--count", "1", "--interval", "0"]))


@pytest.mark.parametrize("bars", [True, False])
def test_what_is_not_known_is_not_available(bars: bool) -> None:
    said = lines(Sample(0.0, gpus=[Gpu(0, "H100 MIG")]), bars=bars)
    assert [line.count("N/A") for line in said] == [1, 2, 2, 2, 6]
    said = lines(Sample(0.0, 50.0, gpu_problem="driver/library version mismatch"), bars=bars)
    assert said[-1] == "GPU unknown: driver/library version mismatch"
    assert ("██████████░" in said[0]) == bars
