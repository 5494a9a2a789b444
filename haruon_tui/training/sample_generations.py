"""What the model in training answers to a few fixed prompts, every so many steps.

This module imports torch and transformers; only a stage that trains imports it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import (
    GenerationConfig,
    PreTrainedTokenizerBase,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from haruon_tui.dataset import records
from haruon_tui.jobs.context import JobContext

PROMPTS = 2
_STOPS = ("<|im_end|>", "<|endoftext|>")


@dataclass(frozen=True)
class Prompt:
    """What the user says last, and the token ids of the conversation up to the answer."""

    text: str
    ids: list[int]


def prompts(paths: list[Path], tokenizer: PreTrainedTokenizerBase, most: int) -> list[Prompt]:
    """The conversations of the first records with an answer, without the last answer."""
    found: list[Prompt] = []
    for path in paths:
        for line in records.read(path):
            if len(found) == PROMPTS:
                return found
            if isinstance(line, records.BadLine):
                continue
            asked = _asked(line.record.get("messages"))
            if asked is None:
                continue
            ids = tokenizer.apply_chat_template(
                asked, tokenize=True, return_dict=True, add_generation_prompt=True
            )["input_ids"]
            if len(ids) <= most:
                found.append(Prompt(str(asked[-1]["content"]), list(ids)))
    return found


def _asked(messages: Any) -> list[dict[str, Any]] | None:
    answers = [at for at, message in enumerate(messages) if message.get("role") == "assistant"]
    asked = messages[: answers[-1]] if answers else []
    return asked if asked and asked[-1].get("role") == "user" else None


class SampleGenerations(TrainerCallback):
    """Writes the answers as events before the first step, every `every` steps, and at the end.

    The likeliest tokens are taken, and no random number: a training is to the bit the same with
    and without it. The time it takes is left out of the training's speed.
    """

    def __init__(
        self,
        trainer: Any,
        job: JobContext,
        tokenizer: PreTrainedTokenizerBase,
        asked: list[Prompt],
        *,
        every: int,
        tokens: int,
    ) -> None:
        self._trainer = trainer
        self._job = job
        self._tokenizer = tokenizer
        self._asked = asked
        self._every = every
        self._sampled = -1
        stops = [tokenizer.convert_tokens_to_ids(name) for name in _STOPS]
        known = {tokenizer.eos_token_id, *stops} - {None, tokenizer.unk_token_id}
        self._pad = tokenizer.pad_token_id or next(iter(known), 0)
        self._how = GenerationConfig(
            do_sample=False,
            max_new_tokens=tokens,
            eos_token_id=sorted(known) or None,
            pad_token_id=self._pad,
        )

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        if state.global_step % self._every == 0:
            self._sample(state.global_step)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        if not self._job.stop_requested:
            self._sample(state.global_step)

    def _sample(self, step: int) -> None:
        if not self._asked or step == self._sampled:
            return
        self._sampled = step
        try:
            answers = self._answers()
        except torch.OutOfMemoryError:
            self._asked = []
            torch.cuda.empty_cache()
            self._job.log("no memory for sample answers: there are none from here on", "warning")
            return
        if not self._job.stop_requested:
            for prompt, answer in zip(self._asked, answers, strict=True):
                self._job.sample(step, prompt.text, answer)
        self._trainer.reset_clock()

    def _answers(self) -> list[str]:
        model = self._trainer.model
        width = max(len(prompt.ids) for prompt in self._asked)
        rows = [[self._pad] * (width - len(prompt.ids)) + prompt.ids for prompt in self._asked]
        seen = [[0] * (width - len(p.ids)) + [1] * len(p.ids) for p in self._asked]
        training = model.training
        model.eval()
        args = self._trainer.args
        try:
            with (
                torch.random.fork_rng(),
                torch.no_grad(),
                torch.autocast(
                    model.device.type,
                    torch.bfloat16 if args.bf16 else torch.float16,
                    enabled=args.bf16 or args.fp16,
                ),
            ):
                written = model.generate(
                    input_ids=torch.tensor(rows, device=model.device),
                    attention_mask=torch.tensor(seen, device=model.device),
                    generation_config=self._how,
                    use_cache=True,
                    stopping_criteria=[self._stop],
                )
        finally:
            model.train(training)
        return [
            self._tokenizer.decode(row, skip_special_tokens=True)
            for row in written[:, width:].tolist()
        ]

    def _stop(self, ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        return torch.full((ids.shape[0],), self._job.stop_requested, device=ids.device)
