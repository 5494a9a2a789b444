"""Speed and behaviour of one GGUF, measured in a process of its own."""

from __future__ import annotations

import os
import random
import resource
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from haruon_tui.errors import StageError
from haruon_tui.gguf import isolated

if TYPE_CHECKING:
    from haruon_tui.gguf.native import Model

Message = dict[str, str]
Row = dict[str, Any]
"""One line of the comparison. Keys that could not be measured are not there."""

_BATCH = 2048  # llama-bench's own
_PHASES = {"prompt": (0.0, 0.25), "generate": (0.25, 0.25), "reports": (0.5, 0.5)}
"""Where a phase begins in the whole, and how much of it it is."""


def measure(
    gguf: Path,
    *,
    prompt_tokens: int,
    generate_tokens: int,
    repeats: int,
    report_tokens: int,
    context: int,
    prompts: Sequence[Sequence[Message]],
    progress: Callable[[float, str], None] = lambda share, phase: None,
    stop_requested: Callable[[], bool] = lambda: False,
) -> Row:
    """Measure `gguf` on all usable cores of the CPU, and let it answer each of the `prompts`.

    `load_cold_seconds` is from the file to a ready context after the system was told to forget
    the file's pages, `load_seconds` the same once more from the page cache. `prompt` and
    `generate` hold tokens per second as llama-bench defines pp and tg: `prompt_tokens` random
    tokens read in batches of 2048, `generate_tokens` random tokens decoded one at a time, each
    from an empty context, once for warming up (tg: one token) and then `repeats` times; the mean
    of the runs' speeds and their sample standard deviation. `buffers` are llama.cpp's own at a
    context of `context` tokens, in bytes, with the weights as they lie in the file: the copies
    that it makes for this CPU are no phone's. They are in `peak_rss_bytes`, the most that the
    process held.
    Each of `reports` is at most `report_tokens` of the likeliest tokens; `stopped` says whether
    the model ended it by itself.

    A crash or an error becomes `error`, beside what had been measured before. Raises Stopped.
    """
    row: Row = {
        "type": gguf.name.removesuffix(".gguf").rpartition(".")[2],
        "file": gguf.name,
        "loads": False,
        "reports": [],
    }

    def on_event(event: dict[str, Any]) -> None:
        if "progress" in event:
            share, phase = event["progress"]
            start, width = _PHASES[phase]
            progress(start + share * width, phase)
        row.update(event.get("measured", {}))
        if "report" in event:
            row["reports"].append(event["report"])

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
                "context": context,
                "prompts": [list(messages) for messages in prompts],
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

    path, context = Path(arguments["gguf"]), arguments["context"]
    _forget_pages(path)
    started = time.perf_counter()
    with Model(path, context=context):
        cold = time.perf_counter() - started
    started = time.perf_counter()
    with Model(path, context=context) as model:
        warm = time.perf_counter() - started
        prompts = [model.tokenize(model.render_chat(chat)) for chat in arguments["prompts"]]
    with Model(path, context=context, repack=False) as model:
        buffers = model.buffers
    room = max(
        arguments["prompt_tokens"] + arguments["generate_tokens"],
        max(map(len, prompts), default=0) + arguments["report_tokens"],
    )
    with Model(path, context=room) as model:
        loaded = {
            "loads": True,
            "load_cold_seconds": round(cold, 4),
            "load_seconds": round(warm, 4),
            "parameters": model.parameters,
            "bits_per_weight": round(model.tensor_bytes * 8 / model.parameters, 3),
            "context": context,
            "buffers": buffers,
            "threads": usable_cores(),
        }
        emit({"measured": loaded})
        emit({"measured": {"prompt": _prompt_speed(model, arguments, emit)}})
        emit({"measured": {"generate": _generate_speed(model, arguments, emit)}})
        emit({"measured": {"peak_rss_bytes": _peak_rss()}})
        for index, prompt in enumerate(prompts):
            report = _report(model, prompt, arguments["report_tokens"])
            emit({"report": report, "progress": [(index + 1) / len(prompts), "reports"]})
    return {}


def _forget_pages(path: Path) -> None:
    """Take the file out of the page cache, where the system can."""
    if hasattr(os, "posix_fadvise"):
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _peak_rss() -> int:
    """Linux: of this program alone. What getrusage tells there is at least what the process that
    started it held, which is more than a small model needs."""
    if sys.platform == "darwin":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    return next(
        int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:")
    )


def _prompt_speed(model: Model, arguments: isolated.Arguments, emit: isolated.Emit) -> Row:
    count = arguments["prompt_tokens"]
    tokens = _random_tokens(model, count)

    def read(count: int) -> None:
        for start in range(0, count, _BATCH):
            model.decode(tokens[start : min(start + _BATCH, count)])

    return _speed(model, read, count, count, arguments["repeats"], "prompt", emit)


def _generate_speed(model: Model, arguments: isolated.Arguments, emit: isolated.Emit) -> Row:
    count = arguments["generate_tokens"]
    tokens = _random_tokens(model, count)

    def write(count: int) -> None:
        for token in tokens[:count]:
            model.decode([token])

    return _speed(model, write, count, 1, arguments["repeats"], "generate", emit)


def _speed(
    model: Model,
    run: Callable[[int], None],
    tokens: int,
    warm_up_tokens: int,
    repeats: int,
    phase: str,
    emit: isolated.Emit,
) -> Row:
    emit({"progress": [0.0, phase]})
    model.forget()
    run(warm_up_tokens)
    samples = []
    for repeat in range(1, repeats + 1):
        model.forget()
        started = time.perf_counter()
        run(tokens)
        samples.append(tokens / (time.perf_counter() - started))
        emit({"progress": [repeat / repeats, phase]})
    return {
        "tokens": tokens,
        "mean": round(statistics.fmean(samples), 2),
        "sd": round(statistics.stdev(samples), 2) if repeats > 1 else 0.0,
        "samples": [round(sample, 2) for sample in samples],
    }


def _random_tokens(model: Model, count: int) -> list[int]:
    chosen = random.Random(0)
    return [chosen.randrange(model.vocabulary_size) for _ in range(count)]


def _report(model: Model, prompt: Sequence[int], limit: int) -> Row:
    written, stopped = model.generate(prompt, limit)
    return {"text": model.text(written), "tokens": len(written), "stopped": stopped}
