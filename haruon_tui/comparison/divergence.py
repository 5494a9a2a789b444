"""How far a quantized model's predictions lie from the baseline's, as llama-perplexity defines it.

The figures are those of `llama-perplexity --kl-divergence` (llama.cpp, tools/perplexity): a text
is cut into chunks of 512 tokens, each read from an empty context, and the second half of a chunk
is scored. The baseline's log-probabilities are kept as that program keeps them, 16 bits each
between a row's largest and 16 nats below it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from haruon_tui.errors import StageError

CHUNK = 512
FIRST = CHUNK // 2
SCORED = CHUNK - FIRST - 1
"""Predictions of a chunk that are scored: of its tokens 257 to 511, counted from 0."""
_RANGE = 16.0
_STEPS = 65535
_ROWS = 32

Array = np.ndarray[Any, Any]


def softmax_parts(logits: Array) -> tuple[Array, Array]:
    """Of float32 logits [rows, vocabulary]: the largest of each row, and the logarithm of the sum
    of exponentials over it, both [rows, 1]."""
    largest = logits.max(axis=1, keepdims=True)
    total = np.exp(logits - largest).sum(axis=1, dtype=np.float64, keepdims=True)
    return largest, np.log(total).astype(np.float32)


class Baseline:
    """The baseline's log-probabilities of a text, in two files: `FILE` holds
    uint16 [rows, vocabulary], `FILE.rows.npy` the step and the least of each row, float32. Until
    it is whole, `FILE` has another name."""

    def __init__(self, path: Path, vocabulary: int, rows: int) -> None:
        self._whole = self._path = path
        self._shape = (rows, vocabulary)

    def create(self) -> None:
        """Make room for it; the rows are written one chunk at a time. An older one is gone."""
        self._whole.unlink(missing_ok=True)
        self._path = self._whole.with_name(f"{self._whole.name}.part")
        with self._path.open("wb") as file:
            file.truncate(self._shape[0] * self._shape[1] * 2)
        self._save_scales(np.zeros((self._shape[0], 2), np.float32))

    def finish(self) -> None:
        """Every row is written."""
        self._path.replace(self._whole)
        self._path = self._whole

    def check(self) -> None:
        """Raises StageError where it is not there, or of another vocabulary or text."""
        if not self._path.exists():
            raise StageError(
                "the file it is compared with has no predictions to compare with",
                where=str(self._path),
                do="see why the first file of the comparison has no quality figures",
            )
        if self._path.stat().st_size != self._shape[0] * self._shape[1] * 2:
            raise StageError(
                f"its vocabulary of {self._shape[1]:,} tokens splits the text otherwise than that "
                "of the file it is compared with",
                where=str(self._path),
                expected="files made from one model",
            )

    def put(self, start: int, logits: Array) -> None:
        """Keep the rows from `start` on; logits are float32 [rows, vocabulary]."""
        kept = np.memmap(self._path, np.uint16, "r+", shape=self._shape)
        scales = self._scales()
        for low in range(0, len(logits), _ROWS):
            rows = logits[low : low + _ROWS]
            at = slice(start + low, start + low + len(rows))
            largest, log_total = softmax_parts(rows)
            least = np.maximum(rows.min(axis=1, keepdims=True), largest - np.float32(_RANGE))
            step = (largest - least) / np.float32(_STEPS)
            kept[at] = (np.maximum(rows - least, 0) / step + np.float32(0.5)).astype(np.uint16)
            scales[at, 0] = step[:, 0]
            scales[at, 1] = (least - largest - log_total)[:, 0]
        kept.flush()
        self._save_scales(scales)

    def get(self, start: int, count: int) -> Array:
        """Log-probabilities float32 [count, vocabulary]."""
        kept = np.memmap(self._path, np.uint16, "r", shape=self._shape)[start : start + count]
        scales = self._scales()[start : start + count]
        found: Array = kept * scales[:, :1] + scales[:, 1:]
        return found

    def _scales(self) -> Array:
        scales: Array = np.load(f"{self._whole}.rows.npy")
        return scales

    def _save_scales(self, scales: Array) -> None:
        np.save(f"{self._whole}.rows.npy", scales)


@dataclass
class Scores:
    """Per scored token: negative log-likelihoods of the model and of the baseline in nats, the
    Kullback-Leibler divergence of their distributions, whether the likeliest token is the same,
    and the probability of the true token less that by the baseline."""

    nll: list[float]
    nll_base: list[float]
    divergence: list[float]
    same_top: list[bool]
    probability_change: list[float]

    @classmethod
    def empty(cls) -> Scores:
        return cls(*([] for _ in fields(cls)))

    def extend(self, more: Scores) -> None:
        for field in fields(self):
            getattr(self, field.name).extend(getattr(more, field.name))

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def score(logits: Array, base: Array, truth: Array) -> Scores:
    """Compare float32 logits [rows, vocabulary] with the baseline's log-probabilities of the same
    shape; `truth` holds the id of the token that follows, [rows]."""
    scores = Scores.empty()
    for low in range(0, len(logits), _ROWS):
        rows, known = logits[low : low + _ROWS], base[low : low + _ROWS]
        at = np.arange(len(rows))
        ids = truth[low : low + _ROWS]
        largest, log_total = softmax_parts(rows)
        log_p = rows - largest - log_total
        weight = np.where(known > -_RANGE, np.exp(known), np.float32(0))
        nll, nll_base = -log_p[at, ids].astype(float), -known[at, ids].astype(float)
        scores.nll += nll.tolist()
        scores.nll_base += nll_base.tolist()
        scores.divergence += (weight * (known - log_p)).sum(axis=1, dtype=np.float64).tolist()
        scores.same_top += (rows.argmax(axis=1) == known.argmax(axis=1)).tolist()
        scores.probability_change += (np.exp(-nll) - np.exp(-nll_base)).tolist()
    return scores


def summary(scores: Scores) -> dict[str, Any]:
    """Each figure as [value, standard error]: perplexity, its ratio to the baseline's, mean KL
    divergence in nats, share of tokens with the same likeliest one, and the root mean square of
    the change of the true token's probability."""
    nll, base = np.array(scores.nll), np.array(scores.nll_base)
    change = np.square(np.array(scores.probability_change))
    perplexity, ratio = np.exp(nll.mean()), np.exp((nll - base).mean())
    same = float(np.mean(scores.same_top))
    rms = float(np.sqrt(change.mean()))
    return {
        "tokens": len(nll),
        "perplexity": [float(perplexity), float(perplexity * _error(nll))],
        "perplexity_ratio": [float(ratio), float(ratio * _error(nll - base))],
        "divergence": [float(np.mean(scores.divergence)), _error(np.array(scores.divergence))],
        "same_top": [same, float(np.sqrt(same * (1 - same) / max(1, len(nll) - 1)))],
        "rms_probability_change": [rms, 0.5 * _error(change) / rms if rms else 0.0],
    }


def _error(values: Array) -> float:
    """The standard error of the mean."""
    return float(np.sqrt(values.var() / max(1, len(values) - 1)))
