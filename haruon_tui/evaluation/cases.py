"""Evaluation cases: five answers, and the level that a report must give each trait."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
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
    """The cases in a JSONL file, at most `limit` of each group (0 takes all). Raises as
    `read_all`."""
    return read_all([path], limit)


def read_all(paths: Sequence[Path], limit: int = 0) -> list[Case]:
    """The cases of several files, one after the other, at most `limit` of each group.

    Raises ConfigurationError for a file that cannot be read, holds a wrong case or none, or
    uses an id that was used before: generations are kept by id.
    """
    cases: list[Case] = []
    first: dict[str, Path] = {}
    for path in paths:
        found = [Case.model_validate(case) for case in golden.load_cases(path)]
        if not found:
            raise ConfigurationError("holds no evaluation case", where=str(path))
        for case in found:
            if case.id in first:
                other = "" if first[case.id] == path else f", first in {first[case.id]}"
                raise ConfigurationError(
                    f"the id {case.id!r} is used twice{other}",
                    where=str(path),
                    expected="an id of its own for each case",
                    do="give one of them another id",
                )
            first[case.id] = path
        cases += found
    taken: Counter[str] = Counter()
    chosen = []
    for case in cases:
        taken[case.group] += 1
        if not limit or taken[case.group] <= limit:
            chosen.append(case)
    return chosen
