"""What the newest runs of a workspace have measured, as far as advice looks at it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from haruon_tui.comparison.rows import Row, read_rows
from haruon_tui.dataset import records
from haruon_tui.dataset.token_lengths import PER_MESSAGE, Estimate
from haruon_tui.errors import ConfigurationError
from haruon_tui.jobs.curve import Curves
from haruon_tui.jobs.events import EventReader
from haruon_tui.jobs.series import Series
from haruon_tui.jobs.store import Run, State, Store
from haruon_tui.settings import Settings, TrainSettings
from haruon_tui.workspace import Workspace


@dataclass(frozen=True)
class Training:
    """The newest training that ended or failed, with the settings that it ran with."""

    run: str
    settings: TrainSettings
    steps: int
    error: dict[str, str] | None
    smaller_batches: dict[str, int] | None
    loss: Series = field(default_factory=Series)
    eval_loss: Series = field(default_factory=Series)
    grad_norm: Series = field(default_factory=Series)


@dataclass(frozen=True)
class Report:
    """A report that the tuned model wrote for an evaluation case. `rules` are the ids of the
    findings on it, `safe` whether none of them is a forbidden expression."""

    case: str
    tokens: int
    stopped: bool
    safe: bool
    rules: tuple[str, ...]


@dataclass(frozen=True)
class Evidence:
    """Of each stage the newest result; None or empty where there is none yet.

    `prompt_tokens` is an upper estimate of the longest prompt of the evaluation's cases,
    `longest` the most tokens that a report could have.
    """

    settings: Settings
    training: Training | None = None
    golden_share: float | None = None
    reports: tuple[Report, ...] = ()
    longest: int = 0
    prompt_tokens: int = 0
    rows: tuple[Row, ...] = ()


def gather(workspace: Workspace) -> Evidence:
    """Read it from the runs. Touches the disk. Raises ConfigurationError for a wrong
    haruon.toml; what a run lacks is left out."""
    store = Store(workspace.runs)
    dataset = _result(_newest(store, "dataset"))
    evaluation = _newest_of_tuned(store)
    comparison = _newest(store, "compare")
    return Evidence(
        settings=workspace.settings,
        training=_training(_newest(store, "train", State.FINISHED, State.FAILED)),
        golden_share=dataset.get("golden_share"),
        reports=tuple(_reports(evaluation)) if evaluation else (),
        longest=evaluation.job.params.get("max_new_tokens", 0) if evaluation else 0,
        prompt_tokens=_longest_prompt(_newest(store, "dataset")),
        rows=tuple(read_rows(comparison.folder)) if comparison else (),
    )


def _newest(store: Store, stage: str, *states: State) -> Run | None:
    wanted = states or (State.FINISHED,)
    return next((run for run in store.of_stage(stage) if run.status().state in wanted), None)


def _newest_of_tuned(store: Store) -> Run | None:
    """The newest evaluation of the tuned model; others may be of a GGUF alone."""
    for run in store.of_stage("evaluate"):
        names = run.job.params.get("names", ["tuned"])
        if "tuned" in names and run.status().state is State.FINISHED:
            return run
    return None


def _result(run: Run | None) -> dict[str, Any]:
    return (run.status().result or {}) if run else {}


def _training(run: Run | None) -> Training | None:
    if run is None:
        return None
    try:
        settings = TrainSettings.model_validate(run.job.params["settings"])
    except (KeyError, ValidationError, ConfigurationError):
        return None  # of another version
    curves, smaller = Curves(), None
    reader = EventReader(run.log)
    while block := reader.read():
        curves.feed(block)
        for event in block:
            values = event.get("values", {}) if event["kind"] == "changed" else {}
            if "batch_size" in values:
                smaller = {name: int(after) for name, (_, after) in values.items()}
    loss = curves.get("loss")
    return Training(
        run=run.id,
        settings=settings,
        steps=loss.steps[-1] if loss else 0,
        error=run.status().error,
        smaller_batches=smaller,
        loss=loss,
        eval_loss=curves.get("eval_loss"),
        grad_norm=curves.get("grad_norm"),
    )


def _reports(run: Run) -> Iterator[Report]:
    """The tuned model's lines of generations.jsonl. A finding begins with its severity and its
    rule."""
    try:
        lines = (run.artifacts / "generations.jsonl").read_text("utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        row = json.loads(line)
        score = row["score"]
        if row["model"] == "tuned":
            yield Report(
                case=str(row.get("case", row.get("id", ""))),
                tokens=int(score["tokens"]),
                stopped=bool(score["stopped"]),
                safe=bool(score["safe"]),
                rules=tuple(
                    text.split()[1] for text in [*score["findings"], *score.get("reading", [])]
                ),
            )


def _longest_prompt(dataset: Run | None) -> int:
    if dataset is None:
        return 0
    counter, longest = Estimate(), 0
    try:
        for line in records.read(dataset.artifacts / "train.jsonl"):
            if isinstance(line, records.Line):
                asked = [records.content(line.record, role) for role in ("system", "user")]
                tokens = sum(counter.count(text) + PER_MESSAGE for text in asked) + PER_MESSAGE
                longest = max(longest, tokens)
    except ConfigurationError:
        return 0
    return longest
