"""Advice: what the measurements say should be changed for the next run, and how.

Each rule looks for one symptom, gives the figures that show it, and a change of haruon.toml. They
are the guide's troubleshooting and optimisation sections, made measurable; a bar that is not the
guide's own is this program's, chosen to stay silent on the runs that it knows to be good.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from itertools import pairwise
from statistics import median
from typing import Any

from haruon_tui.advice.evidence import Evidence
from haruon_tui.comparison.choice import TOLERATED_LOSS
from haruon_tui.jobs.series import Series
from haruon_tui.jobs.smoothing import Smoothed

OVERFIT = 1.03
"""The last evaluation loss over the best one."""

STILL_FALLING = 0.02
"""What the evaluation loss fell by in the last quarter, as a share of it."""

RISEN = 1.1
"""The smoothed training loss at the end over its lowest value before."""

SPIKE = 10.0
"""The largest norm of a gradient over the median one."""

CLIPPED_NORM = 1.0
"""Pascanu et al. 2013 (arXiv:1211.5063) clip at a norm; 1.0 is what transformers does."""

FEW = 0.05
"""A share of reports below which a fault counts as chance."""

GOLDEN_SHARE = 0.1
WANTED_GOLDEN_SHARE = 0.2
ROOM = 1.25
"""Context over the longest conversation that was seen."""

IMPORTANCE_TOKENS = 20_000
_REPETITION = "repeated-sentence"


@dataclass(frozen=True)
class Advice:
    """`changes` are keys of haruon.toml with their new values; `evidence` are the figures."""

    id: str
    title: str
    evidence: str
    changes: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def advise(evidence: Evidence) -> list[Advice]:
    """What the evidence asks for, the most urgent first; empty where all is well. A change that
    haruon.toml has already is left out: it waits for the next run."""
    found = [advice for rule in RULES if (advice := rule(evidence)) is not None]
    return [one for one in found if not _is_made(one, evidence)]


def _is_made(advice: Advice, evidence: Evidence) -> bool:
    keys = {name: name.split(".") for name in advice.changes}
    return all(
        getattr(getattr(evidence.settings, section), key) == advice.changes[name]
        for name, (section, key) in keys.items()
    )


def memory(e: Evidence) -> Advice | None:
    """The guide: smaller batches, more accumulation."""
    training = e.training
    if training is None:
        return None
    ran = training.settings
    if training.smaller_batches:
        now = training.smaller_batches
        return Advice(
            "memory",
            "The batches were too large for the memory",
            f"{training.run} began with {ran.batch_size} x {ran.accumulation} and went on with "
            f"{now['batch_size']} x {now['accumulation']}",
            {f"train.{name}": value for name, value in now.items()},
        )
    error = training.error
    if error is None or "out of memory" not in error.get("what", ""):
        return None
    changes: dict[str, Any]
    if ran.batch_size > 1:
        batch = ran.batch_size // 2
        whole = ran.batch_size * ran.accumulation
        changes = {"train.batch_size": batch, "train.accumulation": -(-whole // batch)}
    elif not ran.gradient_checkpointing:
        changes = {"train.gradient_checkpointing": True}
    elif ran.method != "qlora":
        changes = {"train.method": "qlora"}
    else:
        changes = {"train.max_length": max(32, ran.max_length // 2)}
    return Advice("memory", "Training ran out of memory", error["what"], changes)


def diverged(e: Evidence) -> Advice | None:
    """The guide: a lower learning rate."""
    training = e.training
    if training is None or training.error is None:
        return None
    if training.error.get("where") != "train.learning_rate":
        return None
    if training.settings.precision == "fp16":
        changes: dict[str, Any] = {"train.precision": "auto"}
    else:
        changes = {"train.learning_rate": training.settings.learning_rate / 2}
    return Advice("diverged", "The loss became NaN or infinite", training.error["what"], changes)


def overfit(e: Evidence) -> Advice | None:
    """The guide: early stopping."""
    training = e.training
    if training is None or len(training.eval_loss) < 3:
        return None
    best, step, last = _best(training.eval_loss)
    if last < OVERFIT * best:
        return None
    ran = training.settings
    if not ran.early_stopping:
        changes: dict[str, Any] = {"train.early_stopping": 3}
    else:
        share = step / training.eval_loss.steps[-1]
        changes = {"train.epochs": max(0.1, round(ran.epochs * share, 1))}
    return Advice(
        "overfit",
        "The model learns the examples by heart",
        f"the evaluation loss was {best:.4f} at step {step:,} and {last:.4f} at the end, "
        f"{100 * (last / best - 1):.0f} % more",
        changes,
    )


def underfit(e: Evidence) -> Advice | None:
    """The guide: more epochs."""
    training = e.training
    if training is None or training.error or len(training.eval_loss) < 4:
        return None
    values = training.eval_loss.values
    best, _, last = _best(training.eval_loss)
    before = values[-1 - max(1, len(values) // 4)]
    fell = (before - last) / before if before > 0 else 0.0
    if last > best or fell < STILL_FALLING:
        return None
    return Advice(
        "underfit",
        "The model was still learning when it stopped",
        f"over the last quarter the evaluation loss fell from {before:.4f} to {last:.4f}, "
        f"{100 * fell:.0f} %",
        {"train.epochs": round(1.5 * training.settings.epochs, 1)},
    )


def learning_rate(e: Evidence) -> Advice | None:
    """The guide: a lower learning rate, where the training loss itself rises again."""
    training = e.training
    if training is None or training.error or len(training.loss) < 20:
        return None
    smoothed = Smoothed(training.loss, 0.9)
    while not smoothed.follow():
        pass
    lowest, step, last = _best(smoothed.series)
    if last < RISEN * lowest:
        return None
    rate = training.settings.learning_rate
    return Advice(
        "learning-rate",
        "The training loss rises again: the learning rate is too high",
        f"smoothed, it was {lowest:.4f} at step {step:,} and {last:.4f} at the end, with a "
        f"learning rate of {rate:g}",
        {"train.learning_rate": rate / 2},
    )


def scheduler(e: Evidence) -> Advice | None:
    """The guide: tune the scheduler. A constant rate keeps jumping about the minimum."""
    training = e.training
    if training is None or training.settings.scheduler != "constant":
        return None
    values = list(training.eval_loss.values)
    if len(values) < 6 or values[-1] >= OVERFIT * min(values):
        return None
    late = values[len(values) // 2 :]
    steps = [after - before for before, after in pairwise(late)]
    turns = sum(one * other < 0 for one, other in pairwise(steps))
    if turns < 2:
        return None
    return Advice(
        "scheduler",
        "The loss jumps up and down at the end: the learning rate never falls",
        f"the last {len(late)} evaluations lie between {min(late):.4f} and {max(late):.4f} and "
        f"turn {turns} times",
        {"train.scheduler": "cosine"},
    )


def clipping(e: Evidence) -> Advice | None:
    """The guide: gradient clipping."""
    training = e.training
    if training is None or training.error or len(training.grad_norm) < 20:
        return None
    norms = training.grad_norm.values
    usual, largest = median(norms), max(norms)
    limit = training.settings.max_grad_norm
    if largest < SPIKE * usual or limit < largest or limit <= CLIPPED_NORM:
        return None
    return Advice(
        "clipping",
        "Single gradients are far too large and are not clipped",
        f"the largest norm is {largest:.3g}, the median {usual:.3g}, clipped from {limit:g} on",
        {"train.max_grad_norm": CLIPPED_NORM},
    )


def quantization(e: Evidence) -> Advice | None:
    """The guide: a higher quantization."""
    losses = {
        str(row["type"]): row["quality"]["perplexity_ratio"][0] - 1
        for row in e.rows
        if row.get("quality") and str(row.get("type", "")).startswith(("Q4", "IQ4"))
    }
    if not losses or min(losses.values()) <= TOLERATED_LOSS:
        return None
    best = min(losses, key=lambda name: losses[name])
    made = list(e.settings.gguf.quantize)
    missing = [name for name in ("Q5_K_M", "Q8_0") if name not in made]
    if missing:
        changes: dict[str, Any] = {"gguf.quantize": [*made, *missing]}
    elif not e.settings.gguf.importance_tokens:
        changes = {"gguf.importance_tokens": IMPORTANCE_TOKENS}
    else:
        changes = {"gguf.quantize": [name for name in made if not name.startswith("Q4")]}
    return Advice(
        "quantization",
        "Four bits cost this model too much",
        f"perplexity over F16's: {best} {100 * losses[best]:+.1f} %, the best of "
        f"{len(losses)} types of four bits",
        changes,
    )


def repetition(e: Evidence) -> Advice | None:
    repeating = [one for one in e.reports if _REPETITION in one.rules]
    if not _many(repeating, e) or e.settings.chat.temperature > 0:
        return None
    return Advice(
        "repetition",
        "Reports repeat themselves",
        f"{len(repeating)} of {len(e.reports)} reports hold a sentence twice: {_named(repeating)}",
        {"chat.temperature": 0.7},
    )


def truncated(e: Evidence) -> Advice | None:
    cut = [one for one in e.reports if not one.stopped and _REPETITION not in one.rules]
    if not _many(cut, e):
        return None
    longer = -(-e.longest * 3 // 2)
    return Advice(
        "truncated",
        "Reports are cut off before their end",
        f"{len(cut)} of {len(e.reports)} reports did not end within {e.longest} tokens: "
        f"{_named(cut)}",
        {"evaluate.max_new_tokens": longer, "chat.max_tokens": longer},
    )


def unsafe(e: Evidence) -> Advice | None:
    """The guide: more golden data, which never sounds like a diagnosis."""
    found = [one for one in e.reports if not one.safe]
    if not found:
        return None
    rules = sorted({rule for one in found for rule in one.rules})
    return Advice(
        "unsafe",
        "Reports sound like a diagnosis",
        f"{len(found)} of {len(e.reports)} reports hold a forbidden expression "
        f"({', '.join(rules[:4])}): {_named(found)}",
        _more_golden(e, 2.0),
    )


def golden_share(e: Evidence) -> Advice | None:
    """The guide: raise the golden share."""
    share = e.golden_share
    if share is None or not e.settings.dataset.golden or share >= GOLDEN_SHARE:
        return None
    return Advice(
        "golden-share",
        "Few of the examples are golden",
        f"{100 * share:.1f} % of the training examples are golden or made from golden ones",
        _more_golden(e, WANTED_GOLDEN_SHARE / max(share, 0.01)),
    )


def context(e: Evidence) -> Advice | None:
    """The guide: no more context than is needed; it is memory on the phone."""
    if not e.reports or not e.prompt_tokens:
        return None
    needed = e.prompt_tokens + max(one.tokens for one in e.reports)
    enough = -(-int(ROOM * needed) // 256) * 256
    given = e.settings.chat.context
    if given < 2 * enough:
        return None
    return Advice(
        "context",
        "The context is longer than any conversation",
        f"the longest prompt and report take at most {needed:,} tokens, the context has {given:,}",
        {"chat.context": enough},
    )


RULES: tuple[Callable[[Evidence], Advice | None], ...] = (
    memory,
    diverged,
    overfit,
    underfit,
    learning_rate,
    scheduler,
    clipping,
    unsafe,
    repetition,
    truncated,
    golden_share,
    quantization,
    context,
)


def _best(series: Series) -> tuple[float, int, float]:
    """The lowest value, its step, and the last one, of those that are finite."""
    finite = [(v, s) for v, s in zip(series.values, series.steps, strict=True) if math.isfinite(v)]
    if not finite:
        return math.inf, 0, math.inf
    value, step = min(finite)
    return value, step, finite[-1][0]


def _many(found: Iterable[Any], e: Evidence) -> bool:
    count = len(list(found))
    return count > 0 and count >= FEW * len(e.reports)


def _named(reports: list[Any]) -> str:
    names = ", ".join(one.case for one in reports[:3])
    return names + (", …" if len(reports) > 3 else "")


def _more_golden(e: Evidence, times: float) -> dict[str, Any]:
    if not e.settings.dataset.golden:
        return {"dataset.golden": True}
    return {"dataset.golden_weight": round(e.settings.dataset.golden_weight * times, 1)}
