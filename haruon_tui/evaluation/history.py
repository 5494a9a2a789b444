"""The figures of every evaluation of a workspace, and whether they still hold."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from haruon_tui.evaluation import results
from haruon_tui.evaluation.figures import FIGURES
from haruon_tui.jobs.store import Run, State, Store


@dataclass(frozen=True)
class Row:
    """One model of one finished evaluation. `stale`: what was evaluated, or the cases, are the
    results of other runs than those that hold under today's settings."""

    run: str
    model: str
    cases: int
    figures: dict[str, float | None]
    stale: bool


def rows(store: Store, current: Collection[str]) -> Iterator[Row]:
    """Newest first; those of earlier versions are left out. `current` are the ids of the runs
    whose results hold today."""
    for run in store.of_stage("evaluate"):
        status = run.status()
        if status.state is not State.FINISHED or not status.result:
            continue
        for name, report in results.models_of(status.result).items():
            yield Row(
                run=run.id,
                model=name,
                cases=status.result["cases"],
                figures={one.key: results.mean(report, one.key) for one in FIGURES},
                stale=not _sources(run, name, store.folder) <= set(current),
            )


def _sources(run: Run, model: str, runs: Path) -> set[str]:
    """The runs that made the model and the cases; other files have none."""
    params: dict[str, Any] = run.job.params
    models = dict(zip(params.get("names", []), params.get("models", []), strict=False))
    paths = [Path(path) for path in (models.get(model, ""), *params.get("cases", []))]
    return {path.relative_to(runs).parts[0] for path in paths if path.is_relative_to(runs)}
