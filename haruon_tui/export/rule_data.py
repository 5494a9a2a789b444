"""The rules that the app checks reports by: those of data/rules, as the kit reads them.

Nothing is written twice: a rule's words, patterns and bars come from the rule set, its patterns
translated. What the app does not check is left out with the reason.
"""

from __future__ import annotations

from typing import Any

from haruon_tui.dataset import persona, report, rules
from haruon_tui.dataset.report_checks import SHORTEST_REPEATED
from haruon_tui.dataset.rules import Rule
from haruon_tui.dataset.validator import MAX_HITS
from haruon_tui.export.patterns import javascript

_OF_RECORDS = "speaks of a training record, which the app has none of"
_MORPHEMES = "needs a Korean morphological analyser, which the app has none of"
_LEFT_OUT = {
    "said": f"{_MORPHEMES}; `haruon evaluate` reports it as grounded",
    "report-tokens": "the app counts tokens with the model itself and stops at max_tokens",
    "context-tokens": "the app counts tokens with the model itself, before it generates",
}
_BY_SURFACE = {
    "copula": "found by the word's written form: `우울증입니다`",
    "predicate": "found by the word's written form: `확실합니다`",
}
"""Checks that Python decides by morphemes. The app finds less, and may find it where Python knows
better; it must not say nothing of a stated diagnosis."""

_CARRIED_GROUPS = ("text", "form", "safety", "style", "persona")


def rule_data(name: str) -> dict[str, Any]:
    """The rule set `name` for the app: `carried` rules decide as Python does, `approximated` by
    the written form, `left_out` not at all, each with the reason."""
    rule_set = rules.load(name)
    carried, approximated, left_out = [], {}, {}
    for rule in rule_set.rules:
        if rule.group not in _CARRIED_GROUPS:
            left_out[rule.id] = _LEFT_OUT.get(rule.check, _OF_RECORDS)
            continue
        if rule.check in _BY_SURFACE:
            approximated[rule.id] = f"{_MORPHEMES}; {_BY_SURFACE[rule.check]}"
        carried.append(_rule(rule))
    return {
        "name": rule_set.name,
        "about": rule_set.about,
        "most_findings": MAX_HITS,
        "shortest_repeated": SHORTEST_REPEATED,
        "rules": carried,
        "approximated": approximated,
        "left_out": left_out,
    }


def form_data() -> dict[str, Any]:
    """What a report is made of."""
    return {
        "title": persona.TITLE,
        "opening": persona.OPENING,
        "summary": persona.SUMMARY,
        "levels": list(persona.LEVELS),
        "traits": [
            {"key": trait.key, "korean": trait.korean, "english": trait.english}
            for trait in persona.TRAITS
        ],
        "parts": list(report.PARTS),
    }


def _rule(rule: Rule) -> dict[str, Any]:
    kept = rule.model_dump(
        mode="json",
        include={"id", "group", "severity", "check", "what", "suggestion", "bar", "limit"},
        exclude_none=True,
    )
    if rule.values:
        kept["values"] = list(rule.values)
    if rule.by_trait:
        kept["by_trait"] = {trait: list(words) for trait, words in rule.by_trait.items()}
    for key in ("pattern", "unless", "but_not"):
        if pattern := getattr(rule, key):
            kept[key] = javascript(pattern)
    if not rule.in_quotes:
        kept["in_quotes"] = False
    return kept
