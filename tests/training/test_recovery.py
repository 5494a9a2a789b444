"""What a training does where it cannot go on as it was: memory, a loss that is none, the disk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch

from haruon_tui.errors import StageError, Stopped
from haruon_tui.hardware.architecture import published
from haruon_tui.jobs import events
from haruon_tui.jobs.context import JobContext
from haruon_tui.settings import TrainSettings, build
from haruon_tui.training import checkpoints as checkpoints_module
from haruon_tui.training.recovery import batches_that_fit, remembered
from haruon_tui.training.trainer import ReportingTrainer

STEPS = 6
PER_STEP = 2
"""Batches of a step, in the small settings."""


@pytest.fixture
def before_batch(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[int], None]], None]:
    """Have something happen before each batch that is trained on; it gets how many came before."""

    def install(hook: Callable[[int], None]) -> None:
        real, count = ReportingTrainer.training_step, 0

        def step(self: ReportingTrainer, *args: Any, **kwargs: Any) -> torch.Tensor:
            nonlocal count
            count += 1
            hook(count - 1)
            return real(self, *args, **kwargs)

        monkeypatch.setattr(ReportingTrainer, "training_step", step)

    return install


def out_of_memory_at(*batches: int) -> Callable[[int], None]:
    def hook(before: int) -> None:
        if before in batches:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    return hook


def warnings(training: Any) -> list[str]:
    return [
        event["text"]
        for event in training.events()
        if event["kind"] == "log" and event["level"] == "warning"
    ]


def test_too_little_memory_halves_the_batch_and_ends_at_the_same_step_with_the_same_loss(
    training: Any, finished: Any, before_batch: Any, tmp_path: Any
) -> None:
    undisturbed = type(training)(tmp_path / "other", training.base, training.files)
    whole = undisturbed.run(dropout=0.0)
    before_batch(out_of_memory_at(4 * PER_STEP))  # in step 5; the checkpoint is of step 3
    result = training.run(dropout=0.0)
    assert result.steps == whole.steps == STEPS
    assert result.tokens == whole.tokens
    assert result.final_loss == pytest.approx(whole.final_loss, abs=1e-4)
    said = warnings(training)
    assert len(said) == 1
    assert "out of memory with 2 examples at once" in said[0]
    assert "now 1 at once, 4 times per optimizer step, which stays at 4" in said[0]
    assert "going on from step 3" in said[0]
    (changed,) = [event for event in training.events() if event["kind"] == "changed"]
    assert (changed["step"], changed["why"]) == (3, "out of memory")
    assert changed["values"] == {"batch_size": [2, 1], "accumulation": [2, 4]}


def test_batches_that_a_gpu_could_never_hold_are_made_smaller_ahead_and_remembered(
    tmp_path: Any,
) -> None:
    qwen = published("Qwen/Qwen2-1.5B-Instruct")
    assert qwen is not None
    wanted = build({"profile": "qwen2-1.5b"}).train
    job = JobContext.local(tmp_path)

    def fitted(wanted: TrainSettings, longest: int, gib: int) -> tuple[int, int]:
        found = batches_that_fit(wanted, qwen, longest, gib << 30, job)
        return found.batch_size, found.accumulation

    assert fitted(wanted, 2048, 141) == (16, 1)
    assert fitted(wanted, 1024, 80) == (16, 1)
    assert fitted(wanted, 2048, 1) == (16, 1), "where not one fits, memory runs out as it may"
    assert fitted(wanted.model_copy(update={"on_out_of_memory": "fail"}), 2048, 24) == (16, 1)
    assert remembered(wanted, job.scratch) == wanted
    batch, accumulation = fitted(wanted, 2048, 24)
    assert batch * accumulation == 16
    assert 1 < batch < 16
    assert remembered(wanted, job.scratch).batch_size == batch
    told = events.tail(tmp_path / "events.jsonl")
    assert [event["kind"] for event in told] == ["log", "changed"]
    assert "do not hold 16 examples of 2048 tokens at once" in told[0]["text"]
    assert told[1]["values"] == {"batch_size": [16, batch], "accumulation": [1, accumulation]}


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError(
            "unable to mmap 4988000 bytes from file <adapter>: Cannot allocate memory (12)"
        ),
    ],
)
def test_a_system_without_memory_is_no_crash(
    training: Any, before_batch: Any, error: Exception
) -> None:
    def hook(before: int) -> None:
        if before == 0:
            raise error

    before_batch(hook)
    assert training.run().steps == STEPS
    (said,) = warnings(training)
    assert "now 1 at once" in said
    assert (str(error) or "MemoryError") in said


def test_too_little_memory_in_the_first_step_begins_again(
    training: Any, before_batch: Any
) -> None:
    before_batch(out_of_memory_at(0))
    assert training.run().steps == STEPS
    assert sorted(training.curve("loss")) == [1, 2, 4, 6]
    assert "going back to the start" in warnings(training)[0]


def test_batches_are_halved_until_one_example_is_left_and_then_the_error_says_what_to_do(
    training: Any, before_batch: Any
) -> None:
    before_batch(lambda _: out_of_memory_at(0)(0))
    with pytest.raises(StageError) as raised:
        training.run(batch_size=4, accumulation=1)
    assert raised.value.where == "train.batch_size"
    assert "with 1 example at once" in raised.value.what
    assert "gradient_checkpointing = true" in (raised.value.do or "")
    assert len(warnings(training)) == 2


def test_a_training_may_also_end_where_memory_does(training: Any, before_batch: Any) -> None:
    before_batch(out_of_memory_at(0))
    with pytest.raises(StageError) as raised:
        training.run(on_out_of_memory="fail")
    assert 'on_out_of_memory = "smaller batches"' in (raised.value.do or "")


def test_an_attempt_after_it_keeps_the_smaller_batches(training: Any, before_batch: Any) -> None:
    class StoppingJob(JobContext):
        def checkpoint(self, step: int, path: Any) -> None:
            super().checkpoint(step, path)
            self.stop.set()

    sizes: list[int] = []
    before_batch(out_of_memory_at(0))
    with pytest.raises(Stopped):
        training.run(StoppingJob)
    before_batch(sizes.append)
    assert training.run().steps == STEPS
    assert len(sizes) == 3 * 4, "three steps of four batches were left"


def test_another_error_is_not_taken_for_too_little_memory(
    training: Any, before_batch: Any
) -> None:
    def hook(_: int) -> None:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    before_batch(hook)
    with pytest.raises(RuntimeError, match="mat1"):
        training.run()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_ends_with_the_last_good_checkpoint(
    training: Any, monkeypatch: pytest.MonkeyPatch, value: float
) -> None:
    real, count = ReportingTrainer.compute_loss, 0

    def loss(self: ReportingTrainer, *args: Any, **kwargs: Any) -> Any:
        nonlocal count
        count += self.model.training
        found = real(self, *args, **kwargs)
        return found * value if count > 4 * PER_STEP else found

    monkeypatch.setattr(ReportingTrainer, "compute_loss", loss)
    with pytest.raises(StageError) as raised:
        training.run()
    assert "at step 5" in raised.value.what
    assert "the last good checkpoint, of step 3, is kept in" in raised.value.what
    assert raised.value.where == "train.learning_rate"
    kept = training.folder / "scratch" / "checkpoints"
    assert [path.name for path in kept.glob("checkpoint-*")] == ["checkpoint-3"]
    assert not training.adapter.exists()
    last = [event for event in training.events() if event["kind"] == "metric"][-1]
    assert (last["step"], last["values"]["loss"]) == (5, str(value))


class Usage(NamedTuple):
    total: int
    used: int
    free: int


def test_a_disk_that_fills_up_is_told_of_ahead_and_the_training_still_ends(
    training: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = 400_000  # room for one more checkpoint, and not for all that are to be kept
    monkeypatch.setattr(
        checkpoints_module.shutil, "disk_usage", lambda _: Usage(10**9, 10**9 - free, free)
    )
    assert training.run(eval_every=1, keep_checkpoints=3).steps == STEPS
    assert "the disk will be full" in warnings(training)[0]
    assert len([text for text in warnings(training) if "will be full" in text]) == 1


def test_a_full_disk_costs_old_checkpoints_and_never_the_best(
    training: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints_module.shutil, "disk_usage", lambda _: Usage(10**9, 10**9, 0))
    result = training.run(eval_every=1, keep_checkpoints=5)
    assert result.steps == STEPS
    assert any("the disk is nearly full: checkpoint 1 removed" in w for w in warnings(training))
    kept = {path.name for path in (training.folder / "scratch" / "checkpoints").iterdir()}
    assert f"checkpoint-{result.best_step}" in kept
    assert f"checkpoint-{STEPS}" in kept
