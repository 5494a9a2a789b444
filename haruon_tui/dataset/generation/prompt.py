"""The messages that ask for one example, and those that ask to mend it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from string import Template
from typing import Any

from haruon_tui.dataset import golden, records
from haruon_tui.dataset.generation import answer, plan
from haruon_tui.dataset.persona import TRAITS
from haruon_tui.dataset.report import parse

Message = dict[str, str]

_SHOWN_FAULTS = 12
"""More would only bury the first ones."""


def messages(number: int, attempt: int, *, seed: int, examples: int) -> list[Message]:
    """What is asked for example `number` (from 0) in its `attempt` (from 0)."""
    texts = _texts()
    shown = golden_examples()
    asked: list[Message] = [{"role": "system", "content": texts["system"]}]
    for place in plan.shown(number, attempt, seed, examples, len(shown)):
        levels, written = shown[place]
        asked += [
            {"role": "user", "content": _fill("example", levels=_levels(levels))},
            {"role": "assistant", "content": written},
        ]
    who = plan.person(number, attempt, seed)
    situations = "\n".join(f"- {t.korean}: {who.situations[t.key]}" for t in TRAITS)
    request = _fill(
        "request",
        levels=_levels(plan.levels(number, seed)),
        age=who.age,
        gender=who.gender,
        job=who.job,
        region=who.region,
        mood=who.mood,
        speech=who.speech,
        situations=situations,
    )
    return [*asked, {"role": "user", "content": request}]


def repair(asked: Sequence[Message], wrote: str, faults: Sequence[str]) -> list[Message]:
    """What is asked after `wrote` had `faults`, in words."""
    listed = "\n".join(f"- {fault}" for fault in faults[:_SHOWN_FAULTS])
    return [
        *asked,
        {"role": "assistant", "content": wrote},
        {"role": "user", "content": _fill("repair", faults=listed)},
    ]


def fault(rule: str, detail: str) -> str:
    """The words for a fault that the rule sets do not know."""
    return Template(_texts()["faults"][rule]).substitute(detail=detail)


@cache
def golden_examples() -> tuple[tuple[dict[str, str], str], ...]:
    """Levels and written form of each golden report."""
    found = []
    for line in records.read(golden.reports_file()):
        if isinstance(line, records.Line):
            report = parse(records.content(line.record, "assistant"))
            bodies = {part.key: part.body for part in report.traits}
            written = answer.as_json(line.record, bodies, report.summary)
            found.append((line.record["metadata"]["levels"], written))
    return tuple(found)


def _levels(levels: dict[str, str]) -> str:
    return "\n".join(f"- {trait.korean} ({trait.key}): {levels[trait.key]}" for trait in TRAITS)


def _fill(name: str, **values: str) -> str:
    return Template(_texts()[name]).substitute(values)


@cache
def _texts() -> dict[str, Any]:
    text = (files("haruon_tui.data.generation") / "prompt.json").read_text("utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def version() -> int:
    """Raised whenever the prompt's texts change: it is part of what makes two runs the same."""
    return int(_texts()["version"])
