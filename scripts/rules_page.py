"""Writes docs/dataset-rules.md from data/rules, data/golden and data/evaluation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from haruon_tui.dataset import golden, persona, records, rules

PAGE = Path(__file__).parents[1] / "docs" / "dataset-rules.md"
SETS = ("calibrated", "guide")


def page() -> str:
    """The whole page."""
    parts = [
        "# The rules of a dataset",
        "Written by `python scripts/rules_page.py` from `data/rules`; a test holds it up to date. "
        "An error leaves a record out of training, a warning does not. `haruon data validate` "
        "checks by the set that `dataset.rules` names; a set of your own is a file of the same "
        "form.",
        *(_rule_set(rules.load(name)) for name in SETS),
        "## Levels of the golden set and of the evaluation cases",
        "Reports and cases by the level of each trait.",
        _levels("Golden reports", [_golden(line) for line in records.read(golden.reports_file())]),
        _levels("Evaluation cases", [c["levels"] for c in golden.load_cases(golden.cases_file())]),
    ]
    return "\n\n".join(parts) + "\n"


def _rule_set(rule_set: rules.RuleSet) -> str:
    lines = [f"## `{rule_set.name}`", "", rule_set.about]
    for group in dict.fromkeys(rule.group for rule in rule_set.rules):
        lines += [
            "",
            f"### {group}",
            "",
            "| rule | | what | why | instead |",
            "| - | - | - | - | - |",
        ]
        for rule in rule_set.rules:
            if rule.group == group:
                cells = (f"`{rule.id}`", rule.severity, _what(rule), rule.why, rule.suggestion)
                lines.append("| " + " | ".join(map(_cell, cells)) + " |")
    return "\n".join(lines)


def _what(rule: rules.Rule) -> str:
    bounds = [
        f"{word} {bound:g}"
        for word, bound in (("below", rule.bar), ("above", rule.limit))
        if bound is not None
    ]
    measured = f" ({rule.measure}: {' or '.join(bounds)})" if bounds and rule.measure else ""
    return rule.what + measured


def _levels(title: str, found: Iterable[dict[str, str]]) -> str:
    counts = {trait.key: Counter[str]() for trait in persona.TRAITS}
    for levels in found:
        for trait, level in levels.items():
            counts[trait][level] += 1
    lines = [
        f"| {title} | {' | '.join(persona.LEVELS)} |",
        "| - |" + " -: |" * len(persona.LEVELS),
    ]
    for trait, counted in counts.items():
        lines.append(f"| {trait} | {' | '.join(str(counted[at]) for at in persona.LEVELS)} |")
    return "\n".join(lines)


def _golden(line: object) -> dict[str, str]:
    assert isinstance(line, records.Line)
    levels: dict[str, str] = line.record["metadata"]["levels"]
    return levels


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
