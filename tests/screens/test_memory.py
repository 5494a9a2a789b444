from __future__ import annotations

from ast import literal_eval

import pytest

from haruon_tui.hardware import memory_plan
from haruon_tui.hardware.gpus import Gpu, Reading
from haruon_tui.hardware.memory_plan import plan_memory
from haruon_tui.screens.memory import MemoryScreen
from haruon_tui.screens.widgets.memory_bar import memory_text
from haruon_tui.settings import default_settings
from haruon_tui.workspace import Workspace

GIB = 1 << 30
CARD = Gpu(0, "NVIDIA RTX 4090", 24 * GIB, 2 * GIB)
FULL = Gpu(1, "NVIDIA A100", 80 * GIB, 79 * GIB)


@pytest.fixture
def cards(monkeypatch):
    """The GPUs of the machine, as the test wants them to be."""
    gpus = [FULL, CARD]
    monkeypatch.setattr(memory_plan, "read_gpus", lambda: Reading(list(gpus)))
    return gpus


@pytest.fixture
def workspace(tmp_path):
    return Workspace.init(tmp_path / "ws", "qwen2-1.5b")


def test_the_plan_is_for_the_allowed_gpu_with_most_free_memory(cards):
    settings = default_settings("qwen2-1.5b")
    plan = plan_memory(settings)
    assert (plan.device, plan.free, plan.fits) == ("GPU 0 (NVIDIA RTX 4090)", 22 * GIB, False)
    only_full = settings.model_copy(
        update={"hardware": settings.hardware.model_copy(update={"gpus": [1]})}
    )
    assert plan_memory(only_full).free == GIB
    assert plan_memory(only_full).suggestions == []
    cards[:] = [Gpu(0, "unknown")]
    assert plan_memory(settings).fits is None
    cards.clear()
    assert plan_memory(settings).kind == "cpu"
    assert plan_memory(default_settings("tiny")).fits is True


def test_the_bar_shows_every_part_and_where_free_memory_ends(cards):
    plan = plan_memory(default_settings("qwen2-1.5b"))
    lines = memory_text(plan, 60).plain.splitlines()
    assert "✗ does not fit" in lines[0]
    assert len(lines[2]) == 60
    assert lines[3].strip() == "▲ 22.0 GiB free"
    assert [line.split()[1] for line in lines[4:11]] == [
        "base", "adapter", "gradients", "optimizer", "activations", "logits", "runtime",
    ]  # fmt: skip


@pytest.mark.parametrize("size", [(80, 24), (200, 60)])
async def test_a_suggestion_is_taken_with_one_key_after_a_question(
    make_app, engine, until, text_of, cards, size
):
    app = make_app()
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: app.session.ready)
        await pilot.press("4", "e")
        await until(pilot, lambda: "What fits" in text_of(app))
        assert isinstance(app.screen, MemoryScreen)
        assert "activation checkpointing" in text_of(app)
        await pilot.press("enter")
        await until(pilot, lambda: "Change the settings?" in text_of(app))
        await pilot.press("escape")
        assert not [asked for asked in engine.asked if asked[0] == "set keys"]
        await pilot.press("enter")
        await until(pilot, lambda: "Change the settings?" in text_of(app))
        await pilot.press("y")
        await until(pilot, lambda: [asked for asked in engine.asked if asked[0] == "set keys"])
    (taken,) = [literal_eval(keys) for asked, keys in engine.asked if asked == "set keys"]
    assert taken["train.batch_size"] * taken["train.accumulation"] == 16
    assert taken["train.batch_size"] < 8
