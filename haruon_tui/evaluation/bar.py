"""The bar of haruon.toml: what the last model of an evaluation must reach."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from haruon_tui.evaluation import results
from haruon_tui.evaluation.figures import BY_KEY, written

if TYPE_CHECKING:
    from haruon_tui.settings import EvaluateSettings

PREFIX = "min_"


@dataclass(frozen=True)
class Miss:
    """A figure below the bar; `value` is None where no report has it."""

    key: str
    value: float | None
    least: float

    def __str__(self) -> str:
        title = BY_KEY[self.key].title
        return (
            f"{title}: {written(self.key, self.value)}, below {self.least:.1%} "
            f"(evaluate.{PREFIX}{self.key})"
        )


def misses(settings: EvaluateSettings, result: dict[str, Any]) -> list[Miss]:
    """Where the last model of a Result (as a dict) is below the bar. Means over all cases are
    held against it, not the ends of their intervals."""
    reports = list(results.models_of(result).values())
    if not reports:
        return []
    found = []
    for name, least in settings.model_dump().items():
        if name.startswith(PREFIX) and least > 0:
            key = name.removeprefix(PREFIX)
            value = results.mean(reports[-1], key)
            if value is None or value < least - 1e-9:
                found.append(Miss(key, value, least))
    return found
