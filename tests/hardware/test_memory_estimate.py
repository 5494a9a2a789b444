"""The memory estimate: against real trainings, and what it suggests."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bench.memory_estimate import tiny
from haruon_tui.hardware import processor
from haruon_tui.hardware.accelerator import capability as capability_row
from haruon_tui.hardware.accelerator import video_memory
from haruon_tui.hardware.architecture import TINY, architecture_of
from haruon_tui.hardware.gpus import Gpu, Reading
from haruon_tui.hardware.memory_estimate import estimate, on_gpu, what_fits
from haruon_tui.hardware.memory_plan import plan_memory
from haruon_tui.hardware.recipe_needs import training_of
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


@pytest.mark.parametrize(
    ("flags", "precision"),
    [
        ("avx2 f16c avx512f", "fp32"),
        ("avx2 avx512_bf16", "bf16"),
        ("amx_tile", "bf16"),
        ("", "fp32"),
    ],
)
def test_automatic_precision_counts_what_the_cpu_computes_in(
    flags: str, precision: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text(f"flags\t\t: fpu {flags}\n")
    monkeypatch.setattr(processor, "CPUINFO", file)
    train = default_settings("tiny").train
    assert train.precision == "auto"
    named = train.model_copy(update={"precision": precision})
    assert estimate(TINY, train, device="cpu") == estimate(TINY, named, device="cpu")


def test_this_cpu_is_counted_as_torch_finds_it() -> None:
    found = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    assert processor.multiplies_bf16() == found


def test_fp16_on_a_cpu_and_automatic_precision_on_old_gpus_and_apples_are_fp32() -> None:
    assert QWEN is not None
    auto = PHONE.train.model_copy(update={"precision": "auto"})
    half = auto.model_copy(update={"precision": "fp16"})
    single = auto.model_copy(update={"precision": "fp32"})
    assert estimate(QWEN, half, device="cpu") == estimate(QWEN, single, device="cpu")
    assert estimate(QWEN, auto, device="mps") == estimate(QWEN, single, device="mps")
    assert on_gpu(auto, (7, 5)) == single
    assert on_gpu(half, (7, 5)) == half
    assert on_gpu(auto, (8, 0)) == on_gpu(auto, None) == auto
    assert estimate(QWEN, auto).total < estimate(QWEN, single).total


def test_checks_and_plan_count_what_the_gpu_here_computes_in() -> None:
    def of(capability: tuple[int, int]) -> tuple[int, str, str]:
        reading = Reading([Gpu(0, "GPU", 80 * GIB, 80 * GIB, compute_capability=capability)])
        plan = plan_memory(auto, reading)
        assert plan is not None
        room = video_memory(training_of(auto), True, reading, None, 0)
        return plan.estimate.total, room.needed, capability_row("auto", reading).found

    auto = build({"profile": "qwen2-1.5b", "train": {"precision": "auto"}})
    old, new = of((7, 5)), of((8, 0))
    assert old[0] > 1.5 * new[0]
    assert old[1] != new[1]
    assert old[2] == "0: 7.5, fp16; fp32 is taken"


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
