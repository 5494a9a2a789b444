"""Speed and behaviour of one GGUF, measured in a process of its own."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from haruon_tui.dataset import persona
from haruon_tui.errors import StageError
from haruon_tui.gguf import isolated, probes

if TYPE_CHECKING:
    from haruon_tui.gguf.native import Model

Row = dict[str, Any]
"""One line of the comparison. Keys that could not be measured are not there."""

_BATCH = 2048  # llama-bench's own
_TEMPLATE_ROOM = 64
_TOKENS_PER_REPORT_OF_PROGRESS = 8


def measure(
    gguf: Path,
    *,
    prompt_tokens: int,
    generate_tokens: int,
    repeats: int,
    report_tokens: int,
    answers: Mapping[str, str] = probes.ANSWERS,
    progress: Callable[[float, str], None] = lambda share, phase: None,
    stop_requested: Callable[[], bool] = lambda: False,
) -> Row:
    """Measure `gguf` on all usable cores of the CPU, and let it write one report.

    `load_seconds` is from the file (likely in the page cache) to a ready context. `prompt` and
    `generate` hold tokens per second as llama-bench defines pp and tg: `prompt_tokens` random
    tokens read in batches of 2048, `generate_tokens` random tokens decoded one at a time, each
    from an empty context, once for warming up (tg: one token) and then `repeats` times; the mean
    of the runs' speeds and their sample standard deviation. The report on `answers` is at most
    `report_tokens` of the likeliest tokens; `stops` says whether the model ended it by itself.

    A crash or an error becomes `error`, beside what had been measured before. Raises Stopped.
    """
    row: Row = {
        "type": gguf.name.removesuffix(".gguf").rpartition(".")[2],
        "file": gguf.name,
        "loads": False,
        "stops": False,
    }

    def on_event(event: dict[str, Any]) -> None:
        if "progress" in event:
            progress(*event["progress"])
        row.update(event.get("measured", {}))

    try:
        row["bytes"] = gguf.stat().st_size
        isolated.call(
            f"{__name__}:work",
            {
                "gguf": str(gguf.absolute()),
                "prompt_tokens": prompt_tokens,
                "generate_tokens": generate_tokens,
                "repeats": repeats,
                "report_tokens": report_tokens,
                "answers": dict(answers),
            },
            on_event=on_event,
            stop_requested=stop_requested,
        )
    except StageError as error:
        row["error"] = error.what
    except OSError as error:
        row["error"] = f"cannot be read: {error.strerror}"
    return row


def work(arguments: isolated.Arguments, emit: isolated.Emit) -> dict[str, Any]:
    """The process's side: emits each figure as soon as it is known."""
    from haruon_tui.gguf.native import Model, usable_cores

    messages = persona.prompt_messages(arguments["answers"])
    longest_prompt = _TEMPLATE_ROOM + sum(len(m["content"].encode()) for m in messages)
    context = max(
        arguments["prompt_tokens"] + arguments["generate_tokens"],
        longest_prompt + arguments["report_tokens"],
    )
    started = time.perf_counter()
    with Model(Path(arguments["gguf"]), context=context) as model:
        loaded = {
            "loads": True,
            "load_seconds": round(time.perf_counter() - started, 4),
            "parameters": model.parameters,
            "bits_per_weight": round(model.tensor_bytes * 8 / model.parameters, 3),
            "threads": usable_cores(),
        }
        emit({"measured": loaded})
        emit({"measured": {"prompt": _prompt_speed(model, arguments, emit)}})
        emit({"measured": {"generate": _generate_speed(model, arguments, emit)}})
        emit({"measured": _report(model, messages, arguments["report_tokens"], emit)})
    return {}


def _prompt_speed(model: Model, arguments: isolated.Arguments, emit: isolated.Emit) -> Row:
    count = arguments["prompt_tokens"]
    tokens = _random_tokens(model, count)

    def read(count: int) -> None:
        for start in range(0, count, _BATCH):
            model.decode(tokens[start : min(start + _BATCH, count)])

    return _speed(model, read, count, count, arguments["repeats"], "prompt", 0.0, emit)


def _generate_speed(model: Model, arguments: isolated.Arguments, emit: isolated.Emit) -> Row:
    count = arguments["generate_tokens"]
    tokens = _random_tokens(model, count)

    def write(count: int) -> None:
        for token in tokens[:count]:
            model.decode([token])

    return _speed(model, write, count, 1, arguments["repeats"], "generate", 1 / 3, emit)


def _speed(
    model: Model,
    run: Callable[[int], None],
    tokens: int,
    warm_up_tokens: int,
    repeats: int,
    phase: str,
    done_before: float,
    emit: isolated.Emit,
) -> Row:
    emit({"progress": [done_before, phase]})
    model.forget()
    run(warm_up_tokens)
    samples = []
    for repeat in range(1, repeats + 1):
        model.forget()
        started = time.perf_counter()
        run(tokens)
        samples.append(tokens / (time.perf_counter() - started))
        emit({"progress": [done_before + repeat / repeats / 3, phase]})
    return {
        "tokens": tokens,
        "mean": round(statistics.fmean(samples), 2),
        "sd": round(statistics.stdev(samples), 2) if repeats > 1 else 0.0,
        "samples": [round(sample, 2) for sample in samples],
    }


def _random_tokens(model: Model, count: int) -> list[int]:
    chosen = random.Random(0)
    return [chosen.randrange(model.vocabulary_size) for _ in range(count)]


def _report(model: Model, messages: list[dict[str, str]], limit: int, emit: isolated.Emit) -> Row:
    def on_token(count: int) -> None:
        if count % _TOKENS_PER_REPORT_OF_PROGRESS == 0:
            emit({"progress": [2 / 3 + count / limit / 3, "report"]})

    prompt = model.tokenize(model.render_chat(messages))
    written, stopped = model.generate(prompt, limit, on_token)
    return {"stops": stopped, "report_tokens": len(written), "report": model.text(written)}
