"""The guide's first generation (3.2): an untuned model speaks, and is heard while it does.

Imports torch: only for a job's child process.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from haruon_tui.errors import StageError

if TYPE_CHECKING:
    from haruon_tui.jobs.context import JobContext

ANSWERS = {
    "openness": "새로운 것을 배우는 걸 좋아해요",
    "conscientiousness": "계획을 세우고 지키는 게 중요해요",
    "extraversion": "혼자 있을 때 에너지를 얻어요",
    "agreeableness": "사람들을 도와주는 걸 즐겨요",
    "neuroticism": "스트레스를 받으면 운동으로 풀어요",
}
"""The guide's test answers (3.2, 7.3)."""

NEW_TOKENS = 200
_PIECE_SECONDS = 0.1


@dataclass(frozen=True)
class FirstAnswer:
    """What was asked and said; `stopped` when the model itself ended it."""

    prompt: str
    text: str
    tokens: int
    stopped: bool
    tokens_per_second: float
    device: str


def first_answer(
    folder: Path, job: JobContext, *, prompt: str | None = None, remote_code: bool = False
) -> FirstAnswer:
    """Let the model answer the guide's test answers, or `prompt`, always the likeliest token.

    The text goes into the log as it is made, about ten times a second. Raises StageError where
    it cannot be loaded, Stopped at the next token.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from haruon_tui.model import compute

    compute.use_allowed_cores()
    job.progress(0, NEW_TOKENS, phase="loading the model", unit="tokens")
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=remote_code)
        model = AutoModelForCausalLM.from_pretrained(
            folder, dtype="auto", trust_remote_code=remote_code
        ).to(compute.device())
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise StageError(
            f"cannot be loaded: {(str(error).strip() or type(error).__name__).splitlines()[0]}",
            where=str(folder),
            expected="a causal language model that this version of transformers knows",
            do="haruon model card FOLDER shows what it is; choose another with model.base",
        ) from error
    job.raise_if_stopped()
    asked, inputs = _encode(tokenizer, prompt)
    inputs = inputs.to(model.device)
    speaking = _Speaking(job, tokenizer)
    started = time.monotonic()
    with torch.inference_mode():
        output = model.generate(
            **inputs,
            max_new_tokens=NEW_TOKENS,
            do_sample=False,
            temperature=None,
            top_p=None,
            top_k=None,
            streamer=speaking,
            stopping_criteria=[_stop_criterion(job)],
        )
    seconds = time.monotonic() - started
    job.raise_if_stopped()
    made = output[0, inputs["input_ids"].shape[1] :]
    stops = model.generation_config.eos_token_id
    stops = stops if isinstance(stops, list) else [stops]
    return FirstAnswer(
        prompt=asked,
        text=tokenizer.decode(made, skip_special_tokens=True),
        tokens=len(made),
        stopped=bool(len(made)) and int(made[-1]) in stops,
        tokens_per_second=round(len(made) / seconds, 1),
        device=f"{model.device.type}, {str(model.dtype).removeprefix('torch.')}",
    )


def _encode(tokenizer: Any, prompt: str | None) -> tuple[str, Any]:
    """The words asked and their tokens: as a conversation where there is a chat template."""
    from haruon_tui.dataset.persona import prompt_messages, user_turn

    asked = prompt or user_turn(ANSWERS)
    if not tokenizer.chat_template:
        return asked, tokenizer(asked, return_tensors="pt")
    messages = [{"role": "user", "content": prompt}] if prompt else prompt_messages(ANSWERS)
    encoded = tokenizer.apply_chat_template(
        messages, add_generation_prompt=True, return_dict=True, return_tensors="pt"
    )
    return asked, encoded


class _Speaking:
    """A streamer of transformers that gathers text for the log, whole characters only: one
    Korean letter is several byte-level tokens."""

    def __init__(self, job: JobContext, tokenizer: Any) -> None:
        self._job = job
        self._tokenizer = tokenizer
        self._prompt_passed = False
        self._tokens: list[int] = []
        self._text = ""
        self._logged = 0
        self._logged_at = time.monotonic()

    def put(self, value: Any) -> None:
        """Take in the prompt's ids, then each new one."""
        if not self._prompt_passed:
            self._prompt_passed = True
            return
        self._tokens += value.flatten().tolist()
        text = self._tokenizer.decode(self._tokens, skip_special_tokens=True)
        if not text.endswith("\ufffd"):
            self._text = text
        if time.monotonic() - self._logged_at >= _PIECE_SECONDS:
            self._log()

    def end(self) -> None:
        """Called once, after the last token."""
        self._log()

    def _log(self) -> None:
        self._logged_at = time.monotonic()
        self._job.progress(len(self._tokens), NEW_TOKENS, phase="first answer", unit="tokens")
        if fresh := self._text[self._logged :]:
            self._job.piece(fresh)
            self._logged = len(self._text)


def _stop_criterion(job: JobContext) -> Any:
    """A stopping criterion of transformers that honours a stop between two tokens."""
    import torch

    def stop(ids: Any, scores: Any, **rest: Any) -> Any:
        return torch.full((ids.shape[0],), job.stop_requested, device=ids.device)

    return stop
