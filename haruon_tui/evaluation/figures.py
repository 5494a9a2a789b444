"""The figures of an evaluation, each with its value for one report: means of them are the rates.

One table says what is counted, which end is better and what it is called, for the summary, the
intervals, the comparison of runs, the bar and the report.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from haruon_tui.evaluation.scoring import CaseScore

Better = Literal["high", "low", ""]
"""The wanted end; empty where neither is better."""


@dataclass(frozen=True)
class Figure:
    """`short` is the title of a narrow column. `of` gives a report's value, 0 to 1 for a share;
    None where the report has none."""

    key: str
    short: str
    title: str
    of: Callable[[CaseScore], float | None]
    better: Better = "high"
    is_share: bool = True


def _levels(count: Callable[[CaseScore], int]) -> Callable[[CaseScore], float | None]:
    return lambda score: count(score) / len(score.traits) if score.traits else None


def _persona(score: CaseScore) -> float | None:
    return sum(score.persona.values()) / len(score.persona) if score.persona else None


FIGURES: tuple[Figure, ...] = (
    Figure("complete", "whole", "every section there", lambda score: score.complete),
    Figure(
        "levels_exact",
        "levels",
        "trait levels right",
        _levels(lambda score: sum(one.exact for one in score.traits.values())),
    ),
    Figure(
        "levels_within_one",
        "±1",
        "within one step",
        _levels(lambda score: sum(one.within_one for one in score.traits.values())),
    ),
    Figure("safe", "safe", "nothing forbidden", lambda score: score.safe),
    Figure("valid", "valid", "valid under every rule", lambda score: score.valid),
    Figure(
        "grounded",
        "quotes",
        "quotes that were said",
        lambda score: 1 - score.ungrounded / score.quotes if score.quotes else None,
    ),
    Figure("stopped", "ends", "stopped by itself", lambda score: score.stopped),
    Figure("persona", "persona", "five persona qualities", _persona),
    Figure("repetition", "repeats", "words repeated", lambda score: score.repetition, "low"),
    Figure(
        "tokens",
        "tokens",
        "length in tokens",
        lambda score: float(score.tokens),
        "",
        is_share=False,
    ),
)

BY_KEY = {figure.key: figure for figure in FIGURES}

SHARES = tuple(figure for figure in FIGURES if figure.is_share)


def values(score: CaseScore) -> dict[str, float | None]:
    """A report's value of every figure."""
    found = {figure.key: figure.of(score) for figure in FIGURES}
    return {key: None if value is None else round(float(value), 6) for key, value in found.items()}


def written(key: str, value: float | None) -> str:
    """`95.0%`, or `212` for what is no share; a dash where there is nothing."""
    if value is None:
        return "–"
    if BY_KEY[key].is_share:
        return f"{round(value, 3) + 0.0:.1%}"  # no -0.0%
    return f"{round(value):,}"
