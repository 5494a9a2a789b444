"""Perplexity of a GGUF on a text, and its divergence from a baseline, in a process of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from haruon_tui.errors import StageError
from haruon_tui.gguf import isolated

if TYPE_CHECKING:
    from haruon_tui.gguf.native import Model


def measure(
    gguf: Path,
    *,
    text: Path,
    chunks: int,
    baseline: Path,
    is_baseline: bool,
    progress: Callable[[float, str], None] = lambda share, phase: None,
    stop_requested: Callable[[], bool] = lambda: False,
) -> dict[str, Any]:
    """The figures of `divergence.summary` on the first `chunks` chunks of `text`, which is read as
    UTF-8; fewer where the text is shorter. `baseline` is the file of its log-probabilities, which
    the model that `is_baseline` writes, whole or not at all, and every other one reads.

    Raises StageError when the text is shorter than a chunk, the model cannot be run, or there is
    no baseline or one of another vocabulary or text; Stopped.
    """

    def on_event(event: dict[str, Any]) -> None:
        progress(event["share"], "quality")

    return isolated.call(
        f"{__name__}:work",
        {
            "gguf": str(gguf.absolute()),
            "text": str(text.absolute()),
            "chunks": chunks,
            "baseline": str(baseline.absolute()),
            "is_baseline": is_baseline,
        },
        on_event=on_event,
        stop_requested=stop_requested,
    )


def work(arguments: isolated.Arguments, emit: isolated.Emit) -> dict[str, Any]:
    """The process's side."""
    import numpy as np

    from haruon_tui.comparison.divergence import (
        CHUNK,
        FIRST,
        SCORED,
        Baseline,
        Scores,
        score,
        summary,
    )
    from haruon_tui.gguf.native import Model

    scores = Scores.empty()
    with Model(Path(arguments["gguf"]), context=CHUNK) as model:
        chunks = _chunks(model, Path(arguments["text"]), arguments["chunks"], CHUNK)
        kept = Baseline(
            Path(arguments["baseline"]), model.vocabulary_size, rows=len(chunks) * SCORED
        )
        if arguments["is_baseline"]:
            kept.create()
        else:
            kept.check()
        for index, tokens in enumerate(chunks):
            logits = model.logits(tokens, FIRST)[:SCORED]
            if arguments["is_baseline"]:
                kept.put(index * SCORED, logits)
            known = kept.get(index * SCORED, SCORED)
            scores.extend(score(logits, known, np.array(tokens[FIRST + 1 :])))
            emit({"share": (index + 1) / len(chunks)})
        if arguments["is_baseline"]:
            kept.finish()
    return {"chunks": len(chunks), **summary(scores)}


def _chunks(model: Model, text: Path, wanted: int, size: int) -> list[list[int]]:
    tokens = model.tokenize(text.read_text(encoding="utf-8"))
    count = min(wanted, len(tokens) // size)
    if count == 0:
        raise StageError(
            f"the text has {len(tokens)} tokens",
            where=str(text),
            expected=f"at least {size}, one chunk",
            do="hold out more records (dataset.eval_fraction)",
        )
    chunks = [tokens[at * size : (at + 1) * size] for at in range(count)]
    if model.adds_tokens:  # as llama-perplexity does
        chunks = [[model.bos, *chunk[1:]] for chunk in chunks]
    return chunks
