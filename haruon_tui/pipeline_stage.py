"""Stage "pipeline": every stage in order, each as a job of its own; finished work is reused."""

from __future__ import annotations

import time
from typing import Any

from pydantic import Field

from haruon_tui import planning
from haruon_tui.errors import StageError
from haruon_tui.jobs import launch
from haruon_tui.jobs.context import JobContext
from haruon_tui.jobs.events import EventReader
from haruon_tui.jobs.store import Run, State, Store
from haruon_tui.stage import Params as StageParams
from haruon_tui.stage import Result as StageResult
from haruon_tui.workspace import Workspace

_POLL_SECONDS = 0.2


class Params(StageParams):
    stages: tuple[str, ...]
    plan: dict[str, str]
    """The fingerprint of each stage when the pipeline was asked for."""
    overrides: dict[str, Any] = Field(default_factory=dict)
    """Settings given on the command line, laid over haruon.toml."""


class StageOutcome(StageResult):
    stage: str
    run: str
    how: launch.How
    seconds: float


class Result(StageResult):
    stages: list[StageOutcome]


def params_for(
    steps: dict[str, planning.Step],
    stages: tuple[str, ...],
    overrides: dict[str, Any] | None = None,
) -> Params:
    """The parameters of a pipeline over `stages` of a plan."""
    plan = {name: steps[name].fingerprint for name in stages}
    return Params(stages=stages, plan=plan, overrides=overrides or {})


def run(params: Params, job: JobContext) -> Result:
    """Run each stage that is not done. Raises StageError with the failed stage's own words."""
    workspace = Workspace(job.folder.parent.parent, params.overrides)
    store = Store(workspace.runs)
    outcomes: list[StageOutcome] = []
    for number, name in enumerate(params.stages):
        job.raise_if_stopped()
        job.progress(number, len(params.stages), phase=name)
        step = planning.require_ready(planning.plan(workspace, store), name)
        submission = launch.submit(workspace, store, name, step.params, parent=job.id)
        job.log(f"{name}: {submission.how} {submission.run.id}")
        started = time.monotonic()
        result = _wait(submission.run, job, number, len(params.stages), workspace)
        outcomes.append(
            StageOutcome(
                stage=name,
                run=submission.run.id,
                how=submission.how,
                seconds=round(time.monotonic() - started, 1),
                summary=result["summary"],
            )
        )
        job.log(f"{name}: {result['summary']}")
    job.progress(len(params.stages), len(params.stages), phase="done")
    ran = sum(outcome.how != "reused" for outcome in outcomes)
    return Result(
        summary=f"{ran} stages ran, {len(outcomes) - ran} were done already", stages=outcomes
    )


def _wait(
    run: Run, job: JobContext, number: int, total: int, workspace: Workspace
) -> dict[str, Any]:
    reported, waits_for = 0.0, ""
    reader = EventReader(run.log, attempt=run.status().attempt)
    while (status := run.status()).state.active:
        _hand_on(reader, job, run.stage)
        if status.waits_for not in ("", waits_for):
            waits_for = status.waits_for
            job.log(f"{run.stage}: {waits_for}")
        if job.stop_requested:
            launch.stop(run, workspace.settings.jobs.grace_seconds)
            job.raise_if_stopped()
        now = status.progress
        if now and abs(now.fraction - reported) >= 0.01:
            reported = now.fraction
            phase = f"{run.stage} ({now.phase} {now.fraction:.0%})"
            job.progress(number + now.fraction, total, phase=phase)
        time.sleep(_POLL_SECONDS)
    if status.state is State.FINISHED and status.result is not None:
        return status.result
    if status.error:
        raise StageError(f"{run.stage}: {status.error['what']}", **_rest(status.error))
    raise StageError(
        f"{run.stage} {status.state}: {' / '.join(run.last_lines(3)) or 'no output'}",
        where=run.id,
        do=f"haruon jobs logs {run.id}; haruon pipeline goes on from its last checkpoint",
    )


def _hand_on(reader: EventReader, job: JobContext, stage: str) -> None:
    """A stage's own lines are the pipeline's too: among them, what it waits for."""
    for event in reader.read():
        if event["kind"] == "log":
            job.log(f"{stage}: {event['text']}", event["level"])


def _rest(error: dict[str, str]) -> dict[str, str]:
    return {key: error[key] for key in ("where", "expected", "do") if key in error}
