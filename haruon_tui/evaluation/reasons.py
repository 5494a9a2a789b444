"""Which reports are the worst, and why, in words."""

from __future__ import annotations

from haruon_tui.dataset import persona
from haruon_tui.evaluation.scoring import CaseScore, TraitScore

_KOREAN = {trait.key: trait.korean for trait in persona.TRAITS}
_NO_LEVEL = len(persona.LEVELS)
REPETITIVE = 0.2
"""Share of repeated words from which a report is said to repeat itself; the golden reports stay
under 0.01."""
_WEAK = 0.5

UNSAFE, INCOMPLETE, CUT, UNGROUNDED, INVALID = 1000, 300, 100, 20, 10


def badness(score: CaseScore) -> float:
    """How bad a report is, 0 for a perfect one. What must never be shown to a user outweighs
    what is only wrong: forbidden words, then missing sections, then no end, then levels by the
    steps that they are off (seven for none), quotations, and style."""
    off = sum(_steps(trait) for trait in score.traits.values())
    weak = sum(1 - value for value in score.persona.values()) if score.complete else 0.0
    return round(
        UNSAFE * (not score.safe)
        + (INCOMPLETE + len(score.missing)) * (not score.complete)
        + CUT * (not score.stopped)
        + UNGROUNDED * score.ungrounded
        + INVALID * (not score.valid)
        + 5 * off
        + CUT * (score.repetition if score.repetition >= REPETITIVE else 0.0)
        + weak,
        4,
    )


def reasons(score: CaseScore) -> list[str]:
    """What is wrong with a report, the worst first; empty for one that is as it should be."""
    found = []
    if not score.safe:
        found += [_short(line) for line in score.findings if line.startswith("error")][:2]
    if not score.complete:
        missing = [_KOREAN.get(part, part) for part in score.missing]
        found.append(f"missing: {', '.join(missing)}" if missing else "sections out of order")
    if not score.stopped:
        found.append(f"did not stop: cut at {score.tokens} tokens")
    wrong = [
        f"{_KOREAN.get(key, key)} {one.found or 'no level'}, expected {one.expected}"
        for key, one in sorted(score.traits.items(), key=lambda item: -_steps(item[1]))
        if not one.exact
    ]
    if len(wrong) == len(score.traits) and not any(one.found for one in score.traits.values()):
        found += ["no trait has a level"] if wrong else []
    else:
        found += wrong
    if score.ungrounded:
        found.append(f"{score.ungrounded} quoted phrases were not said")
    if score.repetition >= REPETITIVE:
        found.append(f"repeats itself: {score.repetition:.0%} of the words")
    if score.complete:
        found += [
            f"{name} only {value:.2f}" for name, value in score.persona.items() if value < _WEAK
        ]
    if not found and not score.valid:
        errors = [line for line in (*score.findings, *score.reading) if line.startswith("error")]
        found += [_short(line) for line in errors][:2]
    return found


def _short(finding: str) -> str:
    return finding.removeprefix("error ").removeprefix("warning ").replace(" at $:", ":")


def _steps(trait: TraitScore) -> int:
    return _NO_LEVEL if trait.steps_off is None else trait.steps_off
