"""Reports from a Hugging Face model or an adapter, many at once, always the likeliest token."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from haruon_tui.errors import StageError
from haruon_tui.evaluation.cases import Case

ADAPTER_CONFIG = "adapter_config.json"
STOP_TOKENS = ("<|im_end|>", "<|endoftext|>")

_SMALL_MODEL_BYTES = 1 << 28
_SAY_EVERY_SECONDS = 1.0

AfterToken = Callable[[int], bool]
"""Called with the number of tokens written per text; True stops the whole batch."""


class Generation(BaseModel):
    """One generated text, without the token that stopped it.

    `seconds` is the share of this text in the time its batch took, so that the sum over texts
    is the time spent.
    """

    model_config = ConfigDict(frozen=True)

    case: str
    text: str
    prompt_tokens: int
    tokens: int
    stopped: bool
    seconds: float


class Generator:
    """A loaded model with its tokenizer. Imports torch: only for a job's child process."""

    def __init__(self, folder: Path, base: Path | None = None) -> None:
        """Load a Hugging Face folder, on the GPU where there is one. What training left, an
        adapter or a whole model, needs its `base`, whose tokenizer and template it takes.

        Raises StageError when it is no model with a chat template.
        """
        from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

        self.folder = folder
        adapter = folder if (folder / ADAPTER_CONFIG).is_file() else None
        weights = base if adapter and base else folder
        device, dtype = _device_and_dtype(weights)
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(base or folder, padding_side="left")
            self._model = AutoModelForCausalLM.from_pretrained(weights, dtype=dtype)
            if adapter:
                from peft import PeftModel

                self._model = PeftModel.from_pretrained(self._model, str(adapter))
        except (OSError, ValueError) as error:
            raise StageError(
                f"cannot be loaded: {str(error).strip().splitlines()[0]}",
                where=str(folder),
                expected="a folder with config.json, safetensors weights and a tokenizer",
                do="run the stage that makes it again: haruon model, or haruon merge",
            ) from error
        if not self._tokenizer.chat_template:
            raise StageError(
                "the tokenizer has no chat template",
                where=str(folder),
                expected="chat_template.jinja, or chat_template in tokenizer_config.json",
            )
        self._model.to(device).eval()
        self._stops = self._stop_ids()
        pad = self._tokenizer.pad_token_id
        self._pad = self._stops[-1] if pad is None else pad
        # A model's own generation_config may bring sampling and a repetition penalty.
        inner = self._model.get_base_model() if adapter else self._model
        inner.generation_config = GenerationConfig(
            do_sample=False, eos_token_id=self._stops, pad_token_id=self._pad
        )

    @property
    def description(self) -> str:
        """Where and in which precision it runs."""
        weights = next(self._model.parameters())
        return f"{weights.device.type}, {str(weights.dtype).removeprefix('torch.')}"

    def generate(
        self,
        cases: list[Case],
        *,
        max_new_tokens: int,
        batch_size: int,
        stop_requested: Callable[[], bool],
        on_progress: Callable[[float], None] = lambda written: None,
        share: tuple[int, int] = (0, 1),
    ) -> Iterator[list[Generation]]:
        """Batches of generations. Prompts of like length share a batch, the longest come first.
        With `share` (r, n) only every n-th batch is written, from batch r on.

        `on_progress` gets how many are written, with the share of the batch under way, after
        each batch and about once a second. When a stop is asked for, the batch under way is
        dropped and nothing more comes.
        """
        prompts = [(case, self._encode(case)) for case in cases]
        prompts.sort(key=lambda prompt: len(prompt[1]), reverse=True)
        said = time.monotonic()

        def after_token(before: int, size: int, tokens: int) -> bool:
            nonlocal said
            if time.monotonic() - said >= _SAY_EVERY_SECONDS:
                said = time.monotonic()
                on_progress(before + size * tokens / max_new_tokens)
            return stop_requested()

        first, step = share
        written = 0
        for begin in range(first * batch_size, len(prompts), step * batch_size):
            if stop_requested():
                return
            batch = prompts[begin : begin + batch_size]
            made = self._generate_batch(
                batch, max_new_tokens, partial(after_token, written, len(batch))
            )
            if stop_requested():
                return
            written += len(batch)
            on_progress(written)
            yield made

    def _generate_batch(
        self,
        batch: list[tuple[Case, list[int]]],
        max_new_tokens: int,
        after_token: AfterToken,
    ) -> list[Generation]:
        import torch

        started = time.perf_counter()
        width = max(len(ids) for _, ids in batch)
        ids = torch.tensor([[self._pad] * (width - len(ids)) + ids for _, ids in batch])
        mask = torch.tensor([[0] * (width - len(ids)) + [1] * len(ids) for _, ids in batch])
        try:
            with torch.inference_mode():
                output = self._model.generate(
                    input_ids=ids.to(self._model.device),
                    attention_mask=mask.to(self._model.device),
                    max_new_tokens=max_new_tokens,
                    stopping_criteria=[_criterion(width, after_token)],
                )
        except torch.OutOfMemoryError as error:
            raise StageError(
                f"the GPU's memory does not hold {len(batch)} reports at once",
                where="evaluate.batch_size",
                do=f"evaluate.batch_size = {max(1, len(batch) // 2)} in haruon.toml",
            ) from error
        seconds = (time.perf_counter() - started) / len(batch)
        return [
            self._generation(case, len(prompt), row, seconds)
            for (case, prompt), row in zip(batch, output[:, width:].tolist(), strict=True)
        ]

    def _generation(
        self, case: Case, prompt_tokens: int, row: list[int], seconds: float
    ) -> Generation:
        end = next((place for place, token in enumerate(row) if token in self._stops), None)
        written = row[:end]
        return Generation(
            case=case.id,
            text=self._tokenizer.decode(written, skip_special_tokens=True),
            prompt_tokens=prompt_tokens,
            tokens=len(written),
            stopped=end is not None,
            seconds=seconds,
        )

    def _encode(self, case: Case) -> list[int]:
        encoded: list[int] = self._tokenizer.apply_chat_template(
            case.messages, add_generation_prompt=True, tokenize=True, return_dict=False
        )
        return encoded

    def _stop_ids(self) -> list[int]:
        known = self._tokenizer.get_vocab()
        stops = [known[token] for token in STOP_TOKENS if token in known]
        if not stops:
            raise StageError(
                "the tokenizer knows no token that ends an answer",
                where=str(self.folder),
                expected=" or ".join(STOP_TOKENS),
            )
        return stops


def _criterion(width: int, after_token: AfterToken) -> Any:
    """`after_token` as a stopping criterion of transformers, for prompts of `width` tokens."""
    import torch

    def stop(ids: Any, scores: Any, **rest: Any) -> Any:
        return torch.full((ids.shape[0],), after_token(ids.shape[1] - width), device=ids.device)

    return stop


def _device_and_dtype(folder: Path) -> tuple[str, Any]:
    """bf16 on a GPU that multiplies it, else fp16. On the CPU, fp32 for a small model; decoding
    a large one is bound by memory, which bf16 halves."""
    import torch

    from haruon_tui.model import compute

    device = compute.device()
    if device != "cpu":
        bf16 = compute.dtype("auto") == torch.bfloat16
        return device, torch.bfloat16 if bf16 else torch.float16
    size = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    return device, torch.float32 if size < _SMALL_MODEL_BYTES else compute.dtype("auto")
