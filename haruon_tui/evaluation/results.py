"""Evaluations read back from their runs, those of earlier versions left out."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from haruon_tui import artifacts
from haruon_tui.errors import ConfigurationError
from haruon_tui.evaluation.intervals import Estimate
from haruon_tui.evaluation.summary import ALL

EVALUATION_FILE = "evaluation.json"
GENERATIONS_FILE = "generations.jsonl"
REPORT_FILE = "report.html"
JUDGE_FILE = "judge.json"

MAX_LINES = 20_000
_LINE = ("model", "case", "text", "score", "values", "badness", "reasons")


def read_lines(folder: Path) -> list[dict[str, Any]]:
    """The lines of generations.jsonl in a run's artefacts.

    Raises ConfigurationError where they are missing, damaged or of an earlier version.
    """
    path = folder / GENERATIONS_FILE
    lines = []
    try:
        with path.open(encoding="utf-8") as stream:
            for raw in stream:
                line = json.loads(raw)
                if not all(key in line for key in _LINE):
                    raise ConfigurationError(
                        "is of an earlier version of the evaluation",
                        where=str(path),
                        do="haruon evaluate --force makes it again",
                    )
                lines.append(line)
                if len(lines) == MAX_LINES:
                    break
    except OSError as error:
        raise ConfigurationError(
            f"cannot be read: {error.strerror}", where=str(path), do="haruon evaluate"
        ) from error
    except (ValueError, TypeError) as error:
        raise ConfigurationError(
            "is damaged", where=str(path), do="haruon evaluate --force makes it again"
        ) from error
    return lines


def broken_rules(lines: Sequence[dict[str, Any]]) -> dict[str, int]:
    """In how many of these reports each rule found something, the most frequent first. A finding
    begins with its severity and its rule."""
    counted = Counter(
        rule
        for line in lines
        for rule in {
            finding.split()[1]
            for finding in (*line["score"]["findings"], *line["score"]["reading"])
        }
    )
    return dict(counted.most_common())


def write_report(folder: Path, out: Path) -> None:
    """Copy the HTML report of a run's artefacts. Raises ConfigurationError."""
    if out.is_dir():
        raise ConfigurationError(
            "is a folder", where=str(out), expected="the name of a file to write"
        )
    try:
        with artifacts.replacing(out) as temporary:
            shutil.copyfile(folder / REPORT_FILE, temporary)
    except OSError as error:
        raise ConfigurationError(f"cannot be written: {error.strerror}", where=str(out)) from error


def models_of(result: dict[str, Any]) -> dict[str, Any]:
    """The models' reports in a Result as a dict; empty for one of an earlier version."""
    models = result.get("models")
    return models if isinstance(models, dict) else {}


def of_model(lines: Sequence[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    """A model's lines, the worst reports first."""
    return sorted(
        (line for line in lines if line["model"] == name), key=lambda line: -line["badness"]
    )


def estimate(report: dict[str, Any], key: str, group: str = ALL) -> Estimate | None:
    """A figure (haruon_tui.evaluation.figures) of a ModelReport as a dict; None where it has
    none."""
    found = report.get("figures", {}).get(group, {}).get(key)
    return Estimate.model_validate(found) if found else None


def mean(report: dict[str, Any], key: str, group: str = ALL) -> float | None:
    """Its mean alone."""
    found = estimate(report, key, group)
    return found.mean if found else None


def interval(report: dict[str, Any], key: str, group: str = ALL) -> tuple[float, float] | None:
    """The two ends of its interval alone."""
    found = estimate(report, key, group)
    return (found.low, found.high) if found else None


def not_compared(before: int, after: int) -> str:
    """What is said of cases that only one of two evaluations has."""
    return f"{before + after} cases are not compared: {before} only before, {after} only after"
