"""Reports from a GGUF by llama.cpp on the CPU, many at once, always the likeliest token.

llama.cpp runs in a process of its own, so that a file that crashes it is only an error.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from haruon_tui.errors import StageError
from haruon_tui.evaluation.cases import Case
from haruon_tui.evaluation.generate import Generation
from haruon_tui.gguf import isolated

if TYPE_CHECKING:
    from haruon_tui.gguf.parallel import ParallelModel

_SAY_EVERY_SECONDS = 1.0


def generate(
    gguf: Path,
    cases: list[Case],
    *,
    max_new_tokens: int,
    batch_size: int,
    on_batch: Callable[[list[Generation]], None],
    on_progress: Callable[[float], None] = lambda written: None,
    stop_requested: Callable[[], bool] = lambda: False,
) -> None:
    """Hand on batches of generations as they are made, the longest prompts first.

    `on_progress` gets how many are written, with the share of the batch under way. Raises
    StageError with llama.cpp's own words, and Stopped, which drops the batch under way.
    """

    def on_event(event: dict[str, Any]) -> None:
        if "batch" in event:
            on_batch([Generation.model_validate(one) for one in event["batch"]])
        if "written" in event:
            on_progress(event["written"])

    try:
        isolated.call(
            f"{__name__}:work",
            {
                "gguf": str(gguf.absolute()),
                "cases": [{"id": case.id, "messages": case.messages} for case in cases],
                "max_new_tokens": max_new_tokens,
                "batch_size": batch_size,
            },
            on_event=on_event,
            stop_requested=stop_requested,
        )
    except isolated.ProcessDied as error:
        raise StageError(
            error.what,
            where=str(gguf),
            do=f"{error.do or 'look at the file'}, or lower evaluate.batch_size ({batch_size})",
        ) from error
    except StageError as error:
        raise StageError(
            error.what,
            where=error.where or str(gguf),
            expected=error.expected or "a whole GGUF with a chat template",
            do=error.do or "haruon gguf convert, or haruon gguf quantize, makes it again",
        ) from error


def work(arguments: isolated.Arguments, emit: isolated.Emit) -> dict[str, Any]:
    """The process's side."""
    from haruon_tui.gguf.native import Model

    path, limit = Path(arguments["gguf"]), arguments["max_new_tokens"]
    with Model(path, context=8) as reader:
        if not reader.chat_template:
            raise StageError("has no chat template", where=str(path))
        prompts = [
            (case["id"], reader.tokenize(reader.render_chat(case["messages"]), rendered=True))
            for case in arguments["cases"]
        ]
    prompts.sort(key=lambda prompt: len(prompt[1]), reverse=True)
    size = min(arguments["batch_size"], len(prompts))
    said = time.monotonic()

    def say(begin: int, here: int, longest: int) -> None:
        nonlocal said
        if time.monotonic() - said >= _SAY_EVERY_SECONDS:
            said = time.monotonic()
            emit({"written": begin + here * longest / limit})

    with _opened(path, len(prompts[0][1]) + limit, size) as model:
        for begin in range(0, len(prompts), size):
            batch = prompts[begin : begin + size]
            started = time.perf_counter()
            texts = model.generate_all(
                [ids for _, ids in batch],
                limit,
                partial(say, begin, len(batch)),
            )
            seconds = (time.perf_counter() - started) / len(batch)
            made = [
                {
                    "case": case,
                    "text": model.text(text.tokens),
                    "prompt_tokens": len(ids),
                    "tokens": len(text.tokens),
                    "stopped": text.stopped,
                    "seconds": seconds,
                }
                for (case, ids), text in zip(batch, texts, strict=True)
            ]
            emit({"batch": made, "written": begin + len(batch)})
    return {}


def _opened(path: Path, context: int, sequences: int) -> ParallelModel:
    """The model for so many texts of `context` tokens. It was loaded before, so what may fail is
    the memory of their keys and values."""
    from haruon_tui.gguf.parallel import ParallelModel

    try:
        return ParallelModel(path, context=context, sequences=sequences)
    except StageError as error:
        raise StageError(
            f"{sequences} reports at once: {error.what}",
            where="evaluate.batch_size",
            do=f"evaluate.batch_size = {max(1, sequences // 2)} in haruon.toml",
        ) from error
