"""TRL's SFTTrainer, reporting to a job, stopping on request, and resuming where it left off.

This module imports torch and trl; only a stage that trains imports it.
"""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from peft import PeftModel
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from trl import SFTTrainer
from trl.models.utils import _ForwardRedirection

from haruon_tui.errors import Stopped
from haruon_tui.jobs.context import JobContext
from haruon_tui.model import compute
from haruon_tui.training.batches import LENGTH_STEP, Order, collate
from haruon_tui.training.checkpoints import Checkpoints, Progress
from haruon_tui.training.fused_lora import FusedLora, cast_together, fuse
from haruon_tui.training.loss import can_score, labelled_loss, use_liger
from haruon_tui.training.recovery import (
    diverged_error,
    make_room,
    require_finite_weights,
    saving,
)
from haruon_tui.training.short_attention import use_short_attention


class AlreadyFinished(Exception):
    """The checkpoint to resume from is that of the last step, or of the last one needed."""


class ReportingTrainer(SFTTrainer):
    """Trains as SFTTrainer does. What is logged goes to the job's event log, per step and not
    per window, so that a curve does not depend on where a training was interrupted."""

    def __init__(
        self,
        *,
        job: JobContext,
        checkpoints: Checkpoints,
        progress: Progress,
        log_every: int,
        eval_every: int,
        keep_checkpoints: int,
        early_stopping: int,
        grouped: bool,
        fused: bool,
        **kwargs: Any,
    ) -> None:
        self.job = job
        self.checkpoints = checkpoints
        self.progress = progress
        self.log_every = log_every
        self.eval_every = eval_every
        self.keep_checkpoints = keep_checkpoints
        self.early_stopping = early_stopping
        self.grouped = grouped
        self.utilisation_per_speed: float | None = None
        """Model FLOPs utilisation at one token per second; None where no peak is known."""
        self._step_tokens = 0
        self._window = (progress.tokens, progress.seconds)
        self._clock = time.monotonic()
        padding = kwargs["processing_class"].pad_token_id or 0
        step = LENGTH_STEP.get(compute.device(), 1)
        collating = functools.partial(collate, padding=padding, step=step)
        super().__init__(data_collator=collating, **kwargs)
        self.causal = (
            self.model.get_base_model() if isinstance(self.model, PeftModel) else self.model
        )
        self.fused = fused and can_score(self.causal)
        self._fused_linears: list[FusedLora] = []
        if self.fused:
            self._fused_linears = fuse(self.causal)
            use_liger(self.causal)
            use_short_attention(self.causal)
        self._redirect = _ForwardRedirection()
        self.add_callback(_Steps(self))

    @property
    def leads(self) -> bool:
        """Whether this is the process that writes what there is to write once."""
        return bool(self.accelerator.is_main_process)

    def _get_train_sampler(self, train_dataset: Any = None) -> Order:
        dataset = self.train_dataset if train_dataset is None else train_dataset
        batch = self.args.train_batch_size * self.args.gradient_accumulation_steps
        batch *= self.args.world_size
        lengths = [len(ids) for ids in dataset["input_ids"]]
        return Order(lengths, batch, self.args.seed, grouped=self.grouped)

    def training_step(self, model: Any, inputs: dict[str, Any], *args: Any) -> torch.Tensor:
        self._step_tokens += inputs["tokens"]
        with self._training_already(model):
            loss: torch.Tensor = super().training_step(model, inputs, *args)
        return loss

    @contextmanager
    def _training_already(self, model: Any) -> Iterator[None]:
        """The trainer calls model.train() before every batch, which walks through thousands of
        modules while a GPU waits: do nothing for that where they are in training already."""
        if not (model.training and self.model.training and self.causal.training):
            yield
            return
        model.train = lambda: model
        try:
            yield
        finally:
            del model.train

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        """The mean negative log-likelihood of the labelled tokens."""
        if not self.fused or return_outputs:
            inputs = {name: inputs[name] for name in ("input_ids", "attention_mask", "labels")}
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        targets = inputs["targets"]
        # By way of the wrapper's forward, which several processes need to add their gradients up.
        with cast_together(self._fused_linears):
            total = self._redirect(
                model,
                self.accelerator.unwrap_model(model),
                functools.partial(labelled_loss, self.causal),
                inputs["input_ids"],
                inputs["places"],
                targets,
            )
        count = len(targets) if num_items_in_batch is None else num_items_in_batch
        if num_items_in_batch is not None:
            total = total * self.args.world_size  # the gradients' mean over processes is taken
        return total / torch.as_tensor(count).clamp(min=1)

    def agree_to_stop(self) -> bool:
        """Whether a stop was asked for of any process, and take in how many tokens all of them
        were given since the last step. All processes ask at the same step."""
        stop = self.job.stop_requested
        if self.args.world_size > 1:
            told = torch.tensor([self._step_tokens, int(stop)], device=self.accelerator.device)
            tokens, stops = self.accelerator.reduce(told, "sum").tolist()
            self._step_tokens, stop = tokens, stops > 0
        return stop

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:
        """The trainer would walk through the model's parameters for it in every step."""
        return 0

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Take in one step's loss, gradient norm and learning rate."""
        self._metrics["train"].clear()
        self._metrics["eval"].clear()
        if "loss" not in logs:
            return
        now = time.monotonic()
        step = self.state.global_step
        progress = self.progress
        progress.step = step
        progress.last_loss = logs["loss"]
        progress.losses.append(logs["loss"])
        progress.tokens += self._step_tokens
        progress.seconds += now - self._clock
        self._step_tokens = 0
        self._clock = now
        diverged = self._diverged(logs)
        if step == 1 or step % self.log_every == 0 or step == self.state.max_steps or diverged:
            self._report(step, logs)
        self.job.progress(step, self.state.max_steps, phase="training", unit="steps")
        if diverged:
            what = f"the loss is {logs['loss']:.4g}, its gradient's norm {logs['grad_norm']:.4g}"
            raise diverged_error(f"at step {step} {what}", self.checkpoints)

    def _diverged(self, logs: dict[str, float]) -> bool:
        """Whether the weights are of no use any more. In fp16 a gradient that overflows is passed
        over, and the next one is scaled less."""
        norm = 0.0 if self.args.fp16 else logs["grad_norm"]
        return not (math.isfinite(logs["loss"]) and math.isfinite(norm))

    def _report(self, step: int, logs: dict[str, float]) -> None:
        progress = self.progress
        tokens, seconds = self._window
        self._window = (progress.tokens, progress.seconds)
        speed = (progress.tokens - tokens) / max(progress.seconds - seconds, 1e-9)
        used = {"mfu": speed * self.utilisation_per_speed} if self.utilisation_per_speed else {}
        self.job.metric(
            step,
            loss=sum(progress.losses) / len(progress.losses),
            learning_rate=float(logs["learning_rate"]),
            grad_norm=float(logs["grad_norm"]),
            tokens_per_second=speed,
            **used,
        )
        progress.losses = []

    def _get_output_dir(self, trial: Any) -> str:
        """Where a checkpoint is written before it is whole."""
        return str(self.checkpoints.unfinished)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Write a checkpoint, once it is known to be good and the disk has room for it."""
        require_finite_weights(self.model, self.state.global_step, self.checkpoints)
        if self.leads:
            make_room(self.checkpoints, self.progress, self.keep_checkpoints, self.model, self.job)
        self.accelerator.wait_for_everyone()
        with saving(self.checkpoints):
            super()._save_checkpoint(model, trial)

    def saved(self) -> None:
        """Mark the checkpoint just written as complete, and evaluate where that is due."""
        self.accelerator.wait_for_everyone()  # each has written its random numbers
        if self.leads:
            path = self.checkpoints.complete(self.progress)
            self.job.checkpoint(self.progress.step, path)
        self.evaluate_if_due()
        if self.leads:
            self.checkpoints.rotate(self.keep_checkpoints, self.progress.best_step)
        self._clock = time.monotonic()

    def evaluate_if_due(self) -> None:
        """Measure the evaluation loss at a step that asks for it and has none yet.

        Raises Stopped when a stop is asked for meanwhile; the checkpoint is then complete, and
        the evaluation is made up for on resuming.
        """
        step = self.progress.step
        if self.eval_dataset is None or step in self.progress.evaluations:
            return
        if not self.is_evaluation_step(step):
            return
        # A data loader draws its seed from the global generator, which dropout uses as well.
        with torch.random.fork_rng():
            loss = float(self.evaluate()["eval_loss"])
        self.progress.evaluations[step] = loss
        self.job.metric(step, eval_loss=loss)
        if self.leads:
            self.checkpoints.update(self.progress)

    def is_evaluation_step(self, step: int) -> bool:
        """Whether a checkpoint is written and the loss is evaluated after this step."""
        return step % self.eval_every == 0 or step == self.state.max_steps

    @property
    def learned_enough(self) -> bool:
        """Whether as many evaluations as `early_stopping` asks for brought nothing better."""
        best = self.progress.best_step
        after = sum(step > best for step in self.progress.evaluations) if best is not None else 0
        return 0 < self.early_stopping <= after

    def reset_clock(self) -> None:
        """Leave out of the speed what was not training."""
        self._clock = time.monotonic()

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """A checkpoint needs none."""


class _Steps(TrainerCallback):
    """Decides after each step what to do next."""

    def __init__(self, trainer: ReportingTrainer) -> None:
        self._trainer = trainer
        self._job = trainer.job

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        trainer = self._trainer
        if state.global_step:
            trainer.evaluate_if_due()
            if state.global_step >= state.max_steps or trainer.learned_enough:
                raise AlreadyFinished
        self._job.progress(state.global_step, state.max_steps, phase="training", unit="steps")
        trainer.reset_clock()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        control.should_log = True
        control.should_save = self._trainer.is_evaluation_step(state.global_step)
        if self._trainer.agree_to_stop() and state.global_step < state.max_steps:
            control.should_save = True
            control.should_training_stop = True

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self._trainer.saved()
        if self._trainer.learned_enough:
            control.should_training_stop = True

    def on_prediction_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        if self._job.stop_requested and args.world_size == 1:
            raise Stopped  # one of several would leave the others waiting
