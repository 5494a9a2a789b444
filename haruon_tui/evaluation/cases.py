"""Evaluation cases: five answers, and the level that a report must give each trait."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from haruon_tui.dataset import golden, persona
from haruon_tui.errors import ConfigurationError


class Case(BaseModel):
    """One case of cases.jsonl; answers and levels by trait key."""

    model_config = ConfigDict(frozen=True)

    id: str
    group: str
    answers: dict[str, str]
    levels: dict[str, str]

    @property
    def messages(self) -> list[dict[str, str]]:
        """What a model is asked."""
        return persona.prompt_messages(self.answers)


def read_cases(path: Path, limit: int = 0) -> list[Case]:
    """The cases in a JSONL file, at most `limit` of each group (0 takes all).

    Raises ConfigurationError for a file that cannot be read, holds a wrong case or none, or
    uses an id twice: generations are kept by id.
    """
    cases = [Case.model_validate(case) for case in golden.load_cases(path)]
    if not cases:
        raise ConfigurationError("holds no evaluation case", where=str(path))
    times = Counter(case.id for case in cases)
    if doubled := next((id for id, count in times.items() if count > 1), None):
        raise ConfigurationError(
            f"the id {doubled!r} is used twice", where=str(path), expected="an id of its own each"
        )
    taken: Counter[str] = Counter()
    chosen = []
    for case in cases:
        taken[case.group] += 1
        if not limit or taken[case.group] <= limit:
            chosen.append(case)
    return chosen
