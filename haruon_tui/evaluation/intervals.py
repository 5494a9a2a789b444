"""Bootstrap intervals: how far a figure could be off because these cases were asked and no others.

Percentile intervals of Efron and Tibshirani, "An Introduction to the Bootstrap" (1993), chapter
13: the cases are drawn again with replacement, the figure is computed of each such sample, and
the middle 95 % of the results are the interval. Whole cases are drawn, because the five levels of
one report are not independent. Where every case has the same value the interval has no width; it
then says nothing about cases that were not asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[np.float64]]

RESAMPLES = 10_000
LEVEL = 0.95

Values = dict[str, float | None]
"""A case's value of every figure, as haruon_tui.evaluation.figures gives them."""


class Estimate(BaseModel):
    """A mean over the cases that have a value, and the two ends of its interval."""

    model_config = ConfigDict(frozen=True)

    mean: float
    low: float
    high: float


def of_means(cases: Sequence[Values], seed: int) -> dict[str, Estimate]:
    """Each figure's mean. Figures that no case has are left out."""
    keys = list(cases[0]) if cases else []
    table = _table([[case.get(key) for key in keys] for case in cases], len(keys))
    return _estimates(keys, table, seed)


def of_differences(
    before: Sequence[Values], after: Sequence[Values], seed: int
) -> dict[str, Estimate]:
    """The mean difference of each figure over the same cases in the same order.

    Pairs are drawn, so that what makes a case hard for both does not widen the interval.
    """
    keys = list(before[0]) if before else []
    pairs = [
        [_difference(old.get(key), new.get(key)) for key in keys]
        for old, new in zip(before, after, strict=True)
    ]
    return _estimates(keys, _table(pairs, len(keys)), seed)


def _difference(old: float | None, new: float | None) -> float | None:
    return None if old is None or new is None else new - old


def _table(rows: list[list[float | None]], width: int) -> Array:
    import numpy as np

    plain = [[np.nan if value is None else value for value in row] for row in rows]
    table: Array = np.array(plain, dtype=np.float64).reshape(len(rows), width)
    return table


def _estimates(keys: list[str], table: Array, seed: int) -> dict[str, Estimate]:
    import numpy as np

    cases = len(table)
    if not cases:
        return {}
    drawn = np.random.default_rng(seed).multinomial(
        cases, np.full(cases, 1 / cases), size=RESAMPLES
    )
    known = ~np.isnan(table)
    sums = drawn @ np.where(known, table, 0.0)
    counts = drawn @ known.astype(np.float64)
    found = {}
    for place, key in enumerate(keys):
        if not known[:, place].any():
            continue
        has = counts[:, place] > 0
        means = sums[has, place] / counts[has, place]
        low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        mean = table[known[:, place], place].mean()
        found[key] = Estimate(
            **{
                name: round(float(value), 6)
                for name, value in (("mean", mean), ("low", low), ("high", high))
            }
        )
    return found
