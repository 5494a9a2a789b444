"""Which runs a card is made from: those whose results hold today, and what is missing."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from haruon_tui.evaluation import history
from haruon_tui.export.choice import EVALUATE, readiness
from haruon_tui.handover.sources import Runs
from haruon_tui.jobs.store import Run, Store

if TYPE_CHECKING:
    from haruon_tui.planning import Step

_TOLD = ("dataset", "model", "train", "merge", "convert", "quantize", "evaluate", "compare")
_TUNED = ("train", "merge", "convert", "quantize")


@dataclass(frozen=True)
class Gathered:
    """`notes` say what is missing and which stage to run."""

    runs: Runs
    notes: tuple[str, ...]


def gather(store: Store, steps: Mapping[str, Step]) -> Gathered:
    """The runs of a plan that the card is made from.

    Raises ConfigurationError that names the stage to run where there is no tuned model, or no GGUF
    with a proof.
    """
    ready = readiness(steps)
    if ready.problem:
        raise ready.problem
    done = {name: steps[name].finished for name in _TOLD}
    done["evaluate"], evaluated = _evaluation(store, done)
    notes = [note for note in ready.notes if not (evaluated and EVALUATE in note)]
    by_stage = {name: run for name, run in done.items() if run}
    return Gathered(Runs(by_stage, ready.candidates, evaluated), tuple(notes))


def _evaluation(
    store: Store, done: Mapping[str, Run | None]
) -> tuple[Run | None, tuple[str, ...]]:
    """The newest evaluation of anything tuned that holds today, and which of its models do."""
    current = [run.id for run in done.values() if run]
    tuned = [run.id for name in _TUNED if (run := done[name])]
    cases = [run.id for name in ("dataset",) if (run := done[name])]
    for run_id, rows in groupby(history.rows(store, current), key=lambda row: row.run):
        run = Run(store.folder / run_id)
        asked = run.job.params
        paths = dict(zip(asked.get("names", ()), asked.get("models", ()), strict=False))
        held = {
            row.model: paths[row.model]
            for row in rows
            if not row.stale and _made_by(paths.get(row.model, ""), current)
        }
        if any(_made_by(path, tuned) for path in held.values()) and any(
            _made_by(path, cases) for path in asked.get("cases", ())
        ):
            return run, tuple(held)
    return None, ()


def _made_by(path: str, runs: Collection[str]) -> bool:
    """Whether one of these runs made it, also where the workspace was moved since."""
    return bool(set(Path(path).parts) & set(runs))
