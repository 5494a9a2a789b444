"""What the browser offers to choose from: filters, columns to sort by, files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from haruon_tui.dataset.persona import LEVELS, TRAITS
from haruon_tui.screens.pick import Choice

Filter = dict[str, Any]
"""Parts as Summaries.select takes them."""

_VERDICTS = {
    "errors": "with errors",
    "warnings": "with warnings only",
    "good": "good",
    "unreadable": "lines that are no record",
    "blank": "blank lines",
    "unchecked": "not checked yet",
}
_DECISIONS = {
    "accept": "accepted",
    "reject": "rejected",
    "none": "not decided",
    "edited": "changed, beside the file",
}
COLUMNS = {
    "line": "line in the file",
    "bytes": "bytes",
    "tokens": "tokens",
    "verdict": "verdict",
    **{trait.key: f"{trait.korean} ({trait.english})" for trait in TRAITS},
}


def filter_choices(status: dict[str, Any]) -> list[Choice]:
    """Every filter with how many lines it fits, where that is known."""
    verdicts, rules = status.get("verdicts", {}), status.get("rules", {})
    choices = [
        (
            f"verdict {name}",
            f"verdict   {words}" + (f"   {verdicts[name]:,}" if name in verdicts else ""),
        )
        for name, words in _VERDICTS.items()
    ]
    choices += [(f"rule {rule}", f"rule      {rule}   {rules[rule]:,}") for rule in rules]
    choices += [(f"decision {name}", f"decision  {words}") for name, words in _DECISIONS.items()]
    for trait in TRAITS:
        choices += [
            (f"level {trait.key} {number}", f"level     {trait.korean} {level} ({number})")
            for number, level in enumerate(LEVELS, start=1)
        ]
        choices.append((f"level {trait.key} 0", f"level     {trait.korean} none"))
    return choices


def with_choice(before: Filter, choice: str) -> Filter:
    """The filter with one part more, or in another place of the same kind."""
    kind, _, value = choice.partition(" ")
    if kind != "level":
        return {**before, kind: value}
    trait, _, number = value.partition(" ")
    return {**before, "trait": trait, "level": int(number)}


def filter_words(filter: Filter) -> str:
    """The filter as one reads it; empty for none."""
    words = []
    if verdict := filter.get("verdict"):
        words.append(_VERDICTS[verdict])
    if rule := filter.get("rule"):
        words.append(f"rule {rule}")
    if "level" in filter:
        trait = next(one.korean for one in TRAITS if one.key == filter["trait"])
        number = filter["level"]
        words.append(f"{trait} {LEVELS[number - 1] if number else 'none'}")
    if decision := filter.get("decision"):
        words.append(_DECISIONS[decision])
    return ", ".join(words)


def needs_checks(filter: Filter, column: str) -> bool:
    """Whether what is shown depends on checks that may still be under way."""
    return bool({"verdict", "rule", "level"} & filter.keys()) or column not in ("line", "bytes")


def file_choices(named: Iterable[tuple[str, Path]]) -> list[Choice]:
    """Files that are there, each under its name, with its size."""
    choices = []
    for name, path in named:
        if path.is_file():
            size = path.stat().st_size
            choices.append((str(path), f"{name:<22} {path.name}   {size:,} B"))
    return choices
