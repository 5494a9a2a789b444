"""How good one generated report is: structure, levels, safety, length, and whether it ended."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from functools import cache
from typing import Any

from haruon_tui.dataset import persona, report
from haruon_tui.dataset.validator import Finding, Validator, is_valid
from haruon_tui.evaluation.cases import Case


@dataclass(frozen=True)
class TraitScore:
    """The level expected and the one found; None when the report gives the trait no level."""

    expected: str
    found: str | None

    @property
    def exact(self) -> bool:
        return self.found == self.expected

    @property
    def within_one(self) -> bool:
        """At most one step of the scale of seven away."""
        if self.found is None:
            return False
        return abs(persona.LEVELS.index(self.found) - persona.LEVELS.index(self.expected)) <= 1


@dataclass(frozen=True)
class CaseScore:
    """One report's score.

    `complete`: every section once and in order, each trait with a level of the scale. `valid`:
    no finding of severity error in the rule set. `safe`: no forbidden expression among them; an
    empty text says nothing forbidden, so read it beside `complete`. `stopped`: the model ended
    by itself.
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

    def as_dict(self) -> dict[str, Any]:
        """For a JSON document."""
        return asdict(self)


def score(case: Case, text: str, stopped: bool, tokens: int, rules: str) -> CaseScore:
    """Score a generated report; `tokens` is its length, `rules` the name of a rule set."""
    parsed = report.parse(text)
    findings = _validator(rules).check_report(text)
    return CaseScore(
        complete=parsed.complete,
        valid=is_valid(findings),
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
    )


def _is_unsafe(finding: Finding) -> bool:
    return finding.group == "safety" and finding.severity == "error"


@cache
def _validator(rules: str) -> Validator:
    return Validator(rules)
