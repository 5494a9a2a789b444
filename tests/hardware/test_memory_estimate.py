"""The memory estimate: against real trainings, and what it suggests."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.memory_estimate import tiny
from haruon_tui.hardware.architecture import TINY, architecture_of
from haruon_tui.hardware.memory_estimate import estimate, what_fits
from haruon_tui.jobs.context import JobContext
from haruon_tui.model.tiny import RECIPE, cached_base
from haruon_tui.settings import build, default_settings

GIB = 1 << 30
PHONE = default_settings("qwen2-1.5b")
QWEN = architecture_of(PHONE)


def test_the_sizes_are_those_of_the_models() -> None:
    assert QWEN is not None
    assert QWEN.parameters == 1_543_714_304
    shape = (TINY.hidden, TINY.feed_forward, TINY.layers, TINY.heads, TINY.key_value_heads)
    made = (RECIPE.hidden, RECIPE.feed_forward, RECIPE.layers, RECIPE.heads)
    assert (*shape, TINY.vocabulary) == (*made, RECIPE.key_value_heads, RECIPE.vocabulary)


@pytest.mark.parametrize(
    ("length", "changes"), [(256, {"batch_size": 4}), (512, {"batch_size": 16})]
)
def test_the_estimate_is_within_fifteen_percent_of_a_real_training(
    tmp_path: Path, length: int, changes: dict[str, int]
) -> None:
    base = cached_base(JobContext.local(tmp_path / "base"))
    found = tiny(base, length, changes, tmp_path)
    assert abs(found["ratio"] - 1) <= 0.15, found


def test_every_way_to_save_memory_saves_some() -> None:
    assert QWEN is not None
    lora = estimate(QWEN, PHONE.train)
    for changes in (
        {"method": "qlora"},
        {"gradient_checkpointing": True},
        {"batch_size": 1},
        {"max_length": 512},
        {"rank": 4},
    ):
        assert estimate(QWEN, PHONE.train.model_copy(update=changes)).total < lora.total
    full = estimate(QWEN, PHONE.train.model_copy(update={"method": "full"}))
    assert full.total > lora.total
    assert full.adapter == 0
    assert lora.total == sum(value for name, value in lora.as_dict().items() if name != "total")


@pytest.mark.parametrize("gib", [8, 16, 24, 30])
def test_what_is_suggested_fits_keeps_the_global_batch_and_is_valid(gib: int) -> None:
    assert QWEN is not None
    found = what_fits(QWEN, PHONE.train, gib * GIB)
    assert found
    for suggestion in found:
        assert suggestion.estimate.total <= gib * GIB
        changes = {key.removeprefix("train."): value for key, value in suggestion.changes.items()}
        train = build({"profile": "qwen2-1.5b", "train": changes}).train
        assert estimate(QWEN, train) == suggestion.estimate
        assert train.batch_size * train.accumulation == 16


def test_nothing_is_suggested_where_it_fits_or_nothing_helps() -> None:
    assert QWEN is not None
    assert what_fits(QWEN, PHONE.train, 200 * GIB) == []
    assert what_fits(QWEN, PHONE.train, GIB // 2) == []
    assert estimate(QWEN, PHONE.train).total > 40 * GIB
