"""Two evaluations beside each other: what got better, what got worse, and by how much surely.

Only cases that both have are compared, pair by pair. A figure is better or worse where the
bootstrap interval of the mean difference does not hold zero; else the difference could come from
the choice of cases.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from haruon_tui.evaluation import intervals
from haruon_tui.evaluation.figures import FIGURES

Line = dict[str, Any]
"""A line of generations.jsonl."""

Verdict = Literal["better", "worse", "no clear difference", "changed", "same"]


@dataclass(frozen=True)
class FigureChange:
    """Means before and after over the common cases, and the interval of their difference."""

    key: str
    title: str
    before: float
    after: float
    low: float
    high: float
    verdict: Verdict


@dataclass(frozen=True)
class CaseChange:
    """A case whose report got better or worse: its badness, and the reasons gone and come."""

    case: str
    before: float
    after: float
    gone: tuple[str, ...]
    come: tuple[str, ...]


@dataclass(frozen=True)
class Difference:
    cases: int
    figures: list[FigureChange]
    better: list[CaseChange]
    worse: list[CaseChange]
    only_before: int
    only_after: int

    @property
    def summary(self) -> str:
        """In one line."""
        if not self.cases:
            return "no case in common: nothing to compare"
        named = {
            verdict: [change.title for change in self.figures if change.verdict == verdict]
            for verdict in ("better", "worse")
        }
        parts = [f"{word}: {', '.join(titles)}" for word, titles in named.items() if titles]
        return (
            f"{self.cases} cases in common; {'; '.join(parts) or 'no figure clearly differs'}; "
            f"{len(self.better)} reports better, {len(self.worse)} worse"
        )


def compare(before: Sequence[Line], after: Sequence[Line], seed: int) -> Difference:
    """Compare the lines of one model with those of another, or of another run."""
    old = {line["case"]: line for line in before}
    new = {line["case"]: line for line in after}
    common = [case for case in old if case in new]
    pairs = [(old[case], new[case]) for case in common]
    changes = [_case_change(case, *pair) for case, pair in zip(common, pairs, strict=True)]
    return Difference(
        cases=len(common),
        figures=_figures(pairs, seed),
        better=sorted(
            (one for one in changes if one.after < one.before),
            key=lambda one: one.after - one.before,
        ),
        worse=sorted(
            (one for one in changes if one.after > one.before),
            key=lambda one: one.before - one.after,
        ),
        only_before=len(old) - len(common),
        only_after=len(new) - len(common),
    )


def _case_change(case: str, old: Line, new: Line) -> CaseChange:
    return CaseChange(
        case,
        old["badness"],
        new["badness"],
        tuple(reason for reason in old["reasons"] if reason not in new["reasons"]),
        tuple(reason for reason in new["reasons"] if reason not in old["reasons"]),
    )


def _figures(pairs: Sequence[tuple[Line, Line]], seed: int) -> list[FigureChange]:
    found = intervals.of_differences(
        [old["values"] for old, _ in pairs], [new["values"] for _, new in pairs], seed
    )
    changes = []
    for figure in FIGURES:
        if figure.key not in found:
            continue
        change = found[figure.key]
        values = [
            value
            for old, new in pairs
            if (value := old["values"].get(figure.key)) is not None
            and new["values"].get(figure.key) is not None
        ]
        before = sum(values) / len(values)
        changes.append(
            FigureChange(
                figure.key,
                figure.title,
                before,
                before + change.mean,
                change.low,
                change.high,
                _verdict(figure.better, change.low, change.high),
            )
        )
    return changes


def _verdict(better: str, low: float, high: float) -> Verdict:
    if low == high == 0:
        return "same"
    if low <= 0 <= high:
        return "no clear difference"
    if not better:
        return "changed"
    return "better" if (low > 0) == (better == "high") else "worse"
