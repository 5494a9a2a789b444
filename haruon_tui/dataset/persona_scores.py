"""The guide's five persona qualities as figures.

Expert, empathic, insightful, careful, structured: the guide names them and leaves open what they
are. Each is measured here by signs in a complete report, and gives 0 to 1. What counts as a sign
is in the rule data: `by_trait` (words of each trait's field) and `pattern`. The definition in
words is the rule's `measure`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from itertools import islice

from haruon_tui.dataset.quotations import QUOTED
from haruon_tui.dataset.report import SUMMARY, Report
from haruon_tui.dataset.rules import Rule, any_of

LONGEST_SENTENCE = 130
"""Characters; a longer sentence holds more than one thought."""

_SENTENCES = (1, 5)
"""Fewest and most sentences of a trait's section."""

_BREAK = re.compile(r"(?<=[.!?])\s+")
Score = Callable[[Rule, Report], float]


def expert(rule: Rule, report: Report) -> float:
    """The share of the trait sections that speak of the trait in the words of its field."""
    fields = _fields(rule)
    return sum(bool(fields[part.key].search(part.body)) for part in report.traits) / 5


def empathic(rule: Rule, report: Report) -> float:
    """Sections that acknowledge a feeling, an effort or a strength, out of three."""
    return _sections_with(rule, report, 3) / 3


def insightful(rule: Rule, report: Report) -> float:
    """Half: sections that set two things against each other or draw a consequence, out of three;
    half: traits that the summary touches, out of two."""
    fields = _fields(rule)
    summary = report.summary
    touching = (field for field in fields.values() if field.search(summary))
    touched = sum(1 for _ in islice(touching, 2))
    return _sections_with(rule, report, 3) / 6 + touched / 4


def careful(rule: Rule, report: Report) -> float:
    """Sections with a hedged reading, out of four."""
    return _sections_with(rule, report, 4) / 4


def structured(rule: Rule, report: Report) -> float:
    """The mean of three shares over the trait sections: those that quote an answer, those of one
    to five sentences, those without a sentence above 130 characters."""
    figures = []
    for part in report.traits:
        sentences = _BREAK.split(part.body)
        figures += [
            bool(QUOTED.search(part.body)),
            _SENTENCES[0] <= len(sentences) <= _SENTENCES[1],
            max(map(len, sentences)) <= LONGEST_SENTENCE,
        ]
    return sum(figures) / len(figures) if figures else 0.0


SCORES: dict[str, Score] = {
    "expert": expert,
    "empathic": empathic,
    "insightful": insightful,
    "careful": careful,
    "structured": structured,
}


def _sections_with(rule: Rule, report: Report, enough: int) -> int:
    """How many of the trait sections and the summary have the pattern; counts up to `enough`."""
    if rule.regex is None:
        return 0
    summaries = [part for part in report.parts if part.key == SUMMARY]
    bodies = (part.body for part in (*report.traits, *summaries))
    return sum(1 for _ in islice(filter(rule.regex.search, bodies), enough))


def _fields(rule: Rule) -> dict[str, re.Pattern[str]]:
    return _compiled(tuple(rule.by_trait.items()))


@lru_cache(maxsize=8)
def _compiled(fields: tuple[tuple[str, tuple[str, ...]], ...]) -> dict[str, re.Pattern[str]]:
    return {trait: any_of(words) for trait, words in fields}
