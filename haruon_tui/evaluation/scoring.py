"""How good one generated report is. What is right and wrong is said by the dataset's validator."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from functools import cache
from typing import Any

from haruon_tui.dataset import persona, quotations, report
from haruon_tui.dataset.rules import Group
from haruon_tui.dataset.validator import MAX_HITS, Finding, Validator, is_valid
from haruon_tui.evaluation.cases import Case

_REPORT = "$.messages[2].content"
_READING = ("style", "persona", "evidence")
_NOT_READING: tuple[Group, ...] = ("record", "text", "form", "safety", "tokens", "set")
_NGRAM = 4


@dataclass(frozen=True)
class TraitScore:
    """The level expected and the one found; None when the report gives the trait no level."""

    expected: str
    found: str | None

    @property
    def exact(self) -> bool:
        return self.found == self.expected

    @property
    def steps_off(self) -> int | None:
        """Steps of the scale of seven between the two; None without a level."""
        if self.found is None:
            return None
        return abs(persona.LEVELS.index(self.found) - persona.LEVELS.index(self.expected))

    @property
    def within_one(self) -> bool:
        """At most one step of the scale of seven away."""
        return self.steps_off is not None and self.steps_off <= 1


@dataclass(frozen=True)
class CaseScore:
    """One report's score.

    `complete`: every section once and in order, each trait with a level of the scale. `valid`:
    no finding of severity error in the rule set, neither in the text nor against the answers.
    `safe`: no forbidden expression among them; an empty text says nothing forbidden, so read it
    beside `complete`. `stopped`: the model ended by itself. `quotes` counts quoted phrases
    and `ungrounded` those that the answers do not hold, both up to the validator's MAX_HITS.
    `persona` are the validator's five qualities, 0 to 1. `repetition` is the share of word
    4-grams that stood in the text before. `findings` are of the text alone, `reading` those of
    style, persona and quotations.
    """

    complete: bool
    valid: bool
    safe: bool
    stopped: bool
    characters: int
    tokens: int
    traits: dict[str, TraitScore]
    missing: list[str] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)
    reading: list[str] = field(default_factory=list)
    quotes: int = 0
    ungrounded: int = 0
    persona: dict[str, float] = field(default_factory=dict)
    repetition: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """For a JSON document."""
        return asdict(self)


def score(case: Case, text: str, stopped: bool, tokens: int, rules: str) -> CaseScore:
    """Score a generated report; `tokens` is its length, `rules` the name of a rule set."""
    parsed = report.parse(text)
    findings = _validator(rules).check_report(text)
    reading = _reading(case, text, rules)
    return CaseScore(
        complete=parsed.complete,
        valid=is_valid(findings) and is_valid(reading),
        safe=not any(_is_unsafe(finding) for finding in findings),
        stopped=stopped,
        characters=len(text),
        tokens=tokens,
        traits={
            trait: TraitScore(expected, parsed.levels.get(trait))
            for trait, expected in case.levels.items()
        },
        missing=list(parsed.missing),
        findings=[str(finding) for finding in findings],
        reading=[str(finding) for finding in reading],
        quotes=min(len(quotations.phrases(text)), MAX_HITS),
        ungrounded=sum(finding.group == "evidence" for finding in reading),
        persona={
            name: round(value, 4) for name, value in _validator(rules).persona_scores(text).items()
        },
        repetition=round(repetition(text), 4),
    )


def repetition(text: str) -> float:
    """1 - distinct word 4-grams / word 4-grams: seq-rep-4 of Welleck et al., "Neural Text
    Generation with Unlikelihood Training" (2019), over words. 0 for a text of fewer words."""
    words = text.split()
    grams = [tuple(words[at : at + _NGRAM]) for at in range(len(words) - _NGRAM + 1)]
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def _reading(case: Case, text: str, rules: str) -> list[Finding]:
    """Style, persona, and whether the report rests on the answers."""
    messages = [*case.messages, {"role": "assistant", "content": text}]
    found = _reader(rules).check({"messages": messages})
    return [
        replace(finding, path="$")
        for finding in found
        if finding.path == _REPORT and finding.group in _READING
    ]


def _is_unsafe(finding: Finding) -> bool:
    return finding.group == "safety" and finding.severity == "error"


@cache
def _validator(rules: str) -> Validator:
    return Validator(rules)


@cache
def _reader(rules: str) -> Validator:
    return Validator(rules, leave_out=_NOT_READING)
