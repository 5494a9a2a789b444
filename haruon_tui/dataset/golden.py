"""The golden reports and the evaluation cases that come with the program.

Golden reports are ordinary dataset records, written by hand one by one: data/golden. Evaluation
cases are answers with the levels a reader gives them, and are never trained on: data/evaluation.

    {"id": str, "group": str, "answers": {trait: text}, "levels": {trait: level}}
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

from haruon_tui.dataset import persona, records
from haruon_tui.errors import ConfigurationError

Case = dict[str, Any]


def reports_file() -> Path:
    """Where the golden reports lie, one record per line."""
    return Path(str(files("haruon_tui.data.golden") / "reports.jsonl"))


def cases_file() -> Path:
    """Where the evaluation cases lie, one case per line."""
    return Path(str(files("haruon_tui.data.evaluation") / "cases.jsonl"))


def load_cases(path: Path) -> list[Case]:
    """Read evaluation cases. Raises ConfigurationError naming file and line of a wrong one."""
    cases: list[Case] = []
    for line in records.read(path):
        wrong = line.message if isinstance(line, records.BadLine) else fault_of(line.record)
        if wrong:
            raise ConfigurationError(
                f"is no evaluation case: {wrong}",
                where=f"{path}:{line.number}",
                expected='{"id", "group", "answers": {trait: text}, "levels": {trait: level}}',
            )
        if isinstance(line, records.Line):
            cases.append(line.record)
    return cases


def fault_of(case: Case) -> str | None:
    """What is wrong with an evaluation case, None when nothing is."""
    for key in ("id", "group"):
        if not isinstance(case.get(key), str) or not case[key].strip():
            return f"{key!r} is not a text"
    for key in ("answers", "levels"):
        given = case.get(key)
        if not isinstance(given, dict):
            return f"{key!r} is not an object"
        for trait in persona.TRAITS:
            value = given.get(trait.key)
            if not isinstance(value, str) or not value.strip():
                return f"{key}.{trait.key} is not a text"
            if key == "levels" and value not in persona.LEVELS:
                return f"levels.{trait.key} is {value!r}, not one of {', '.join(persona.LEVELS)}"
    return None
