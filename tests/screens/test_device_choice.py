"""Choosing GPUs, with what a recorded nvidia-smi says of them."""

from __future__ import annotations

import os

import pytest

from haruon_tui.hardware import nvml
from haruon_tui.screens import device_choice

GPUS = """#!/bin/sh
case "$*" in *compute-apps*) echo "GPU-a, 99994242, 23000, 학습[red]"; exit ;; esac
echo "0, GPU-a, 97, 24564, 23800, 764, 550.54, NVIDIA RTX 4090, [N/A], Disabled, Disabled, 71"
echo "1, GPU-b, [N/A], [N/A], [N/A], [N/A], 550.54, NVIDIA GB10, [N/A], Disabled, Disabled, 40"
"""


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine whose nvidia-smi is the given script."""
    program = tmp_path / "bin" / "nvidia-smi"
    program.parent.mkdir()
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(nvml.LIBRARY, "_tried", True)
    monkeypatch.setattr(nvml.LIBRARY, "_library", None)
    monkeypatch.setattr(device_choice, "_EVERY_SECONDS", 0.1)

    def record(script: str) -> None:
        fresh = program.with_suffix(".new")
        fresh.write_text(script)
        fresh.chmod(0o755)
        fresh.rename(program)

    return record


@pytest.mark.parametrize("size", [(80, 24), (200, 60)])
async def test_gpus_are_shown_with_what_they_hold_and_a_pick_is_saved(
    make_app, engine, until, text_of, machine, size
):
    machine(GPUS)
    app = make_app()
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: app.screen.query("#checked"))
        await pilot.press("g")
        await until(pilot, lambda: "GPU 1: NVIDIA GB10: N/A of N/A free" in text_of(app))
        shown = text_of(app)
        assert "[x] GPU 0: NVIDIA RTX 4090: 0.7 GiB of 24.0 GiB free, busy 97 %" in shown
        assert "held by pid 99994242 학습[red] 22.5 GiB" in shown
        machine(GPUS.replace("23800, 764", "300, 24264"))
        await until(pilot, lambda: "23.7 GiB of 24.0 GiB free" in text_of(app))
        await pilot.press("down", "space")
        await until(pilot, lambda: "[ ] GPU 0" in text_of(app))
        assert "[x] GPU 1" in text_of(app)
        assert "[ ] auto" in text_of(app)
        await pilot.press("enter")
        await until(pilot, lambda: engine.asked[-1:] == [("set keys", "{'hardware.gpus': [1]}")])


async def test_nothing_is_saved_on_escape(make_app, engine, until, text_of, machine):
    machine(GPUS)
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.screen.query("#checked"))
        await pilot.press("g")
        await until(pilot, lambda: "[x] GPU 0" in text_of(app))
        await pilot.press("down", "space", "escape")
        await until(pilot, lambda: app.screen.query("#checked"))
        assert not [asked for asked in engine.asked if asked[0] == "set keys"]


@pytest.mark.parametrize(
    ("script", "words"), [("#!/bin/sh\necho garbage\n", "unreadable"), ("#!/bin/sh\n", "no GPU")]
)
async def test_where_no_gpu_is_known_it_says_so(
    make_app, engine, until, text_of, machine, script, words
):
    machine(script)
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.screen.query("#checked"))
        await pilot.press("g")
        await until(pilot, lambda: words in text_of(app))
        await pilot.press("enter")
        await until(pilot, lambda: app.screen.query("#checked"))
        assert not [asked for asked in engine.asked if asked[0] == "set keys"]
