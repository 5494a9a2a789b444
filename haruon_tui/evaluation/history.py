"""The figures of every evaluation of a workspace, and whether they still hold."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from haruon_tui.evaluation import results
from haruon_tui.evaluation.figures import FIGURES
from haruon_tui.jobs.store import Run, State, Store


@dataclass(frozen=True)
class Row:
    """One model of one finished evaluation, and when it was asked for. `stale`: what was
    evaluated, or the cases, are of other runs than those that hold under today's settings."""

    run: str
    when: str
    model: str
    cases: int
    figures: dict[str, float | None]
    stale: bool


def rows(store: Store, current: Collection[str]) -> Iterator[Row]:
    """Newest first; those of earlier versions are left out. `current` are the ids of the runs
    whose results hold today."""
    for run, result in _finished(store):
        for name, report in results.models_of(result).items():
            yield Row(
                run=run.id,
                when=time.strftime("%m-%d %H:%M", time.localtime(run.job.created)),
                model=name,
                cases=result["cases"],
                figures={one.key: results.mean(report, one.key) for one in FIGURES},
                stale=not _sources(run, name, store.folder) <= set(current),
            )


def newest(store: Store, current: Collection[str]) -> tuple[Run, dict[str, Any]] | None:
    """The newest evaluation of which nothing is stale, with its Result as a dict."""
    for run, result in _finished(store):
        models = results.models_of(result)
        if all(_sources(run, name, store.folder) <= set(current) for name in models):
            return run, result
    return None


def _finished(store: Store) -> Iterator[tuple[Run, dict[str, Any]]]:
    for run in store.of_stage("evaluate"):
        status = run.status()
        if status.state is State.FINISHED and results.models_of(status.result or {}):
            yield run, status.result or {}


def _sources(run: Run, model: str, runs: Path) -> set[str]:
    """The runs that made the model and the cases; other files have none."""
    params: dict[str, Any] = run.job.params
    models = dict(zip(params.get("names", []), params.get("models", []), strict=False))
    paths = [Path(path) for path in (models.get(model, ""), *params.get("cases", []))]
    return {path.relative_to(runs).parts[0] for path in paths if path.is_relative_to(runs)}
