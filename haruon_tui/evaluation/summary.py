"""The figures over many scores: rates with their counts, by group of cases."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pydantic import BaseModel, ConfigDict, Field, computed_field

from haruon_tui.dataset import persona
from haruon_tui.evaluation.cases import Case
from haruon_tui.evaluation.scoring import CaseScore

ALL = "all"
"""The group that holds every case."""

NO_LEVEL = "none"
"""A report's level where it gives none, in the confusion."""


class Rate(BaseModel):
    """`hits` of `total`; the rate is None where there was nothing to count."""

    model_config = ConfigDict(frozen=True)

    hits: int
    total: int

    @computed_field  # type: ignore[prop-decorator]
    @property
    def rate(self) -> float | None:
        return self.hits / self.total if self.total else None

    def __str__(self) -> str:
        return f"{self.rate:.0%} ({self.hits}/{self.total})" if self.rate is not None else "-"


class GroupSummary(BaseModel):
    """What a group of cases came to. Levels count traits, the other rates count reports.

    Lengths are means per report. A report without a level for a trait counts as wrong there.
    `confusion` is, by trait and expected level, how often each level was found.
    """

    model_config = ConfigDict(frozen=True)

    cases: int
    complete: Rate
    valid: Rate
    safe: Rate
    stopped: Rate
    levels_exact: Rate
    levels_within_one: Rate
    levels_by_trait: dict[str, Rate]
    mean_characters: float
    mean_tokens: float
    persona: dict[str, float] = Field(default_factory=dict)
    confusion: dict[str, dict[str, dict[str, int]]] = Field(default_factory=dict)


def summarise(scored: Sequence[tuple[Case, CaseScore]]) -> dict[str, GroupSummary]:
    """A summary per group in the order in which the groups first appear, `all` last."""
    groups: dict[str, list[CaseScore]] = {}
    for case, one in scored:
        groups.setdefault(case.group, []).append(one)
    return {
        **{name: _summarise(scores) for name, scores in groups.items()},
        ALL: _summarise([one for _, one in scored]),
    }


def _summarise(scores: Sequence[CaseScore]) -> GroupSummary:
    traits = [(key, one) for score in scores for key, one in score.traits.items()]
    qualities = list(dict.fromkeys(name for score in scores for name in score.persona))
    return GroupSummary(
        cases=len(scores),
        complete=_rate(score.complete for score in scores),
        valid=_rate(score.valid for score in scores),
        safe=_rate(score.safe for score in scores),
        stopped=_rate(score.stopped for score in scores),
        levels_exact=_rate(one.exact for _, one in traits),
        levels_within_one=_rate(one.within_one for _, one in traits),
        levels_by_trait={
            trait.key: _rate(one.exact for key, one in traits if key == trait.key)
            for trait in persona.TRAITS
        },
        mean_characters=_mean([score.characters for score in scores]),
        mean_tokens=_mean([score.tokens for score in scores]),
        persona={
            name: _mean([score.persona[name] for score in scores if name in score.persona])
            for name in qualities
        },
        confusion=_confusion(scores),
    )


def _confusion(scores: Sequence[CaseScore]) -> dict[str, dict[str, dict[str, int]]]:
    counted: dict[str, dict[str, dict[str, int]]] = {}
    for trait in persona.TRAITS:
        rows: dict[str, dict[str, int]] = {}
        for score in scores:
            if (one := score.traits.get(trait.key)) is not None:
                row = rows.setdefault(one.expected, {})
                found = one.found or NO_LEVEL
                row[found] = row.get(found, 0) + 1
        counted[trait.key] = {level: rows[level] for level in persona.LEVELS if level in rows}
    return counted


def _rate(outcomes: Iterable[bool]) -> Rate:
    listed = list(outcomes)
    return Rate(hits=sum(listed), total=len(listed))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
