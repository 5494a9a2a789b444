"""Stage "train": what it leaves, and that stopping and resuming change nothing."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest

from haruon_tui.errors import StageError, Stopped
from haruon_tui.jobs.context import JobContext
from haruon_tui.training import stage
from haruon_tui.training.checkpoints import MARKER

STEPS = 6


def stopping(step: int, *, kind: str = "progress") -> type[JobContext]:
    """A job that is asked to stop as soon as it reports this step."""

    class StoppingJob(JobContext):
        def progress(self, done: float, total: float, *, phase: str = "", unit: str = "") -> None:
            super().progress(done, total, phase=phase, unit=unit)
            if kind == "progress" and phase == "training" and done == step:
                self.stop.set()

        def checkpoint(self, at: int, path: Path) -> None:
            super().checkpoint(at, path)
            if kind == "checkpoint" and at == step:
                self.stop.set()

    return StoppingJob


def weights(folder: Path) -> bytes:
    return (folder / "adapter_model.safetensors").read_bytes()


def test_the_curve_has_its_first_its_last_and_every_second_step(finished: Any) -> None:
    training, result = finished
    assert sorted(training.curve("loss")) == [1, 2, 4, 6]
    assert sorted(training.curve("eval_loss")) == [3, 6]
    assert all(norm > 0 for norm in training.curve("grad_norm").values())
    assert all(speed > 0 for speed in training.curve("tokens_per_second").values())
    assert result.steps == STEPS


def test_the_loss_falls(finished: Any) -> None:
    training, result = finished
    losses = training.curve("loss")
    assert losses[6] < losses[1] - 0.1
    assert result.best_eval_loss == min(training.curve("eval_loss").values())
    assert result.final_loss < losses[1]


def test_progress_and_checkpoints_are_reported(finished: Any) -> None:
    training, _ = finished
    progress = [
        (event["done"], event["total"])
        for event in training.events()
        if event["kind"] == "progress" and event["phase"] == "training"
    ]
    assert progress == [(step, STEPS) for step in range(STEPS + 1)]
    assert [e["step"] for e in training.events() if e["kind"] == "checkpoint"] == [3, 6]


def test_the_adapter_is_that_of_the_lowest_evaluation_loss(finished: Any) -> None:
    training, result = finished
    losses = training.curve("eval_loss")
    assert losses[result.best_step] == min(losses.values())
    best = training.folder / "scratch" / "checkpoints" / f"checkpoint-{result.best_step}"
    assert weights(training.adapter) == weights(best)


def test_the_adapter_comes_with_the_tokenizer_and_template_of_the_base(
    finished: Any, small_base: Path
) -> None:
    training, _ = finished
    for name in ("chat_template.jinja", "tokenizer.json"):
        assert (training.adapter / name).read_bytes() == (small_base / name).read_bytes()
    for file in (training.folder / "scratch").rglob("*"):
        if file.suffix in (".jinja", ".json"):
            assert "generation %}" not in file.read_text("utf-8")


def test_the_adapter_folder_holds_nothing_of_the_trainer(finished: Any) -> None:
    training, _ = finished
    assert {file.name for file in training.adapter.iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
        "chat_template.jinja",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    config = json.loads((training.adapter / "adapter_config.json").read_text())
    assert config["r"] == 4


def test_all_linear_trains_every_projection(finished: Any) -> None:
    _, result = finished
    # r(in + out) for q, o, k, v, gate, up, down of two layers: hidden 64, key-value 32, FFN 128
    per_layer = 4 * (2 * (64 + 64) + 2 * (64 + 32) + 3 * (64 + 128))
    assert result.trainable_parameters == 2 * per_layer
    assert result.parameters > result.trainable_parameters


@pytest.mark.parametrize("step", [1, 3, 4])
def test_stopping_and_resuming_gives_the_same_adapter_bit_by_bit_and_the_same_curve(
    training: Any, finished: Any, step: int
) -> None:
    with pytest.raises(Stopped):
        training.run(stopping(step))
    assert not training.adapter.exists()
    result = training.run()
    whole, whole_result = finished
    assert weights(training.adapter) == weights(whole.adapter)
    for name in ("loss", "eval_loss", "grad_norm", "learning_rate"):
        assert training.curve(name) == whole.curve(name)
    assert result.tokens == whole_result.tokens
    assert result.final_loss == whole_result.final_loss


def test_a_stop_during_an_evaluation_makes_up_for_it_on_resuming(
    training: Any, finished: Any
) -> None:
    with pytest.raises(Stopped):
        training.run(stopping(3, kind="checkpoint"))
    assert training.curve("eval_loss") == {}
    training.run()
    assert training.curve("eval_loss") == finished[0].curve("eval_loss")
    assert weights(training.adapter) == weights(finished[0].adapter)


def test_a_stop_in_the_last_evaluation_still_ends_in_the_same_adapter(
    training: Any, finished: Any
) -> None:
    with pytest.raises(Stopped):
        training.run(stopping(STEPS, kind="checkpoint"), epochs=1.0)
    result = training.run()
    assert result.steps == STEPS
    assert training.curve("eval_loss") == finished[0].curve("eval_loss")
    assert weights(training.adapter) == weights(finished[0].adapter)


def test_a_checkpoint_cut_short_is_passed_over(training: Any, finished: Any) -> None:
    with pytest.raises(Stopped):
        training.run(stopping(4))
    newest = training.folder / "scratch" / "checkpoints" / "checkpoint-5"
    (newest / MARKER).unlink()
    (newest / "adapter_model.safetensors").write_bytes(b"half a file")
    training.run()
    started = [
        event["done"]
        for event in training.events()
        if event["kind"] == "progress" and event["phase"] == "training"
    ]
    assert started[0] == 3
    assert weights(training.adapter) == weights(finished[0].adapter)


def test_a_finished_training_that_is_run_again_only_publishes(
    training: Any, finished: Any
) -> None:
    shutil.copytree(finished[0].folder, training.folder)
    training.attempt = 1
    result = training.run()
    assert [e for e in training.events() if e["kind"] == "metric"] == []
    assert result.best_eval_loss == finished[1].best_eval_loss


def test_another_seed_gives_another_adapter(training: Any, finished: Any) -> None:
    training.run(seed=8)
    assert weights(training.adapter) != weights(finished[0].adapter)


def test_without_evaluation_records_the_last_step_is_kept(
    training: Any, tmp_path: Path, dataset: Any
) -> None:
    empty = tmp_path / "eval.jsonl"
    empty.write_text("")
    training.files = type(dataset)(dataset.train, empty)
    result = training.run()
    assert (result.best_eval_loss, result.best_step) == (None, STEPS)


def test_an_empty_dataset_is_refused(training: Any, tmp_path: Path, dataset: Any) -> None:
    empty = tmp_path / "train.jsonl"
    empty.write_text("")
    training.files = type(dataset)(empty, dataset.eval)
    with pytest.raises(StageError, match="no example to learn from"):
        training.run()


def test_examples_that_are_too_long_are_told_of(training: Any, finished: Any) -> None:
    lengths = finished[0]
    result = training.run(max_length=int(lengths_median(lengths)), epochs=0.5)
    assert 0 < result.too_long < 24
    assert result.examples + result.too_long == 24
    warnings = [e["text"] for e in training.events() if e.get("level") == "warning"]
    assert f"{result.too_long} of 24" in warnings[0]


def lengths_median(training: Any) -> float:
    import statistics

    from transformers import AutoTokenizer

    from haruon_tui.dataset import records

    tokenizer = AutoTokenizer.from_pretrained(training.base)
    return statistics.median(
        len(tokenizer.apply_chat_template(line.record["messages"])["input_ids"])
        for line in records.read(training.files.train)
    )


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_a_full_fine_tune_leaves_a_whole_model(training: Any, precision: str) -> None:
    result = training.run(method="full", learning_rate=1e-3, precision=precision)
    assert (training.adapter / "model.safetensors").is_file()
    assert result.trainable_parameters == result.parameters
    assert result.precision == precision
    assert training.curve("loss")[6] < training.curve("loss")[1]


def test_gradient_checkpointing_changes_nothing_but_memory_and_time(training: Any) -> None:
    training.run(gradient_checkpointing=True, dropout=0.0)
    checkpointed = training.curve("loss")
    plain = type(training)(training.folder.with_name("plain"), training.base, training.files)
    plain.run(dropout=0.0)
    assert checkpointed == pytest.approx(plain.curve("loss"), rel=1e-4)


def test_qlora_trains_an_adapter_on_a_base_in_four_bits(training: Any) -> None:
    result = training.run(method="qlora", precision="bf16")
    assert (training.adapter / "adapter_model.safetensors").is_file()
    assert training.curve("loss")[6] < training.curve("loss")[1]
    assert math.isfinite(result.final_loss)


def test_parameters_name_what_the_stages_before_left(tmp_path: Path) -> None:
    from haruon_tui.settings import default_settings

    class Inputs:
        def artifact(self, stage: str, name: str) -> Path:
            return tmp_path / stage / name

    params = stage.configure(default_settings("tiny"), Inputs())
    assert params.model == tmp_path / "model" / "model"
    assert params.train_file == tmp_path / "dataset" / "train.jsonl"
    assert params.eval_file == tmp_path / "dataset" / "eval.jsonl"
