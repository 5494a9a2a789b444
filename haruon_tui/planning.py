"""What there is to do: each stage's parameters, fingerprint and state under today's settings."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from haruon_tui.errors import ConfigurationError
from haruon_tui.jobs.fingerprint import PLANNED, fingerprint
from haruon_tui.jobs.store import Run, State, Store
from haruon_tui.stage import PIPELINE, STAGES, Inputs, Params
from haruon_tui.workspace import Workspace


class StageState(StrEnum):
    NOT_STARTED = "not started"
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    STOPPED = "stopped"
    STALE = "stale"


@dataclass(frozen=True)
class Step:
    """One stage of the plan. `finished` is the run whose result holds today; `latest` the newest
    run of the stage, whatever its parameters."""

    stage: str
    params: Params
    fingerprint: str
    finished: Run | None
    latest: Run | None
    state: StageState


class _Artifacts:
    """Where each planned stage leaves its artefacts: in a finished run, or in one to come."""

    def __init__(self, runs: Path) -> None:
        self._runs = runs
        self._steps: dict[str, Step] = {}

    def add(self, step: Step) -> None:
        self._steps[step.stage] = step

    def artifact(self, stage: str, name: str) -> Path:
        step = self._steps[stage]
        if step.finished:
            return step.finished.artifacts / name
        return self._runs / f"{PLANNED}{step.fingerprint}" / "artifacts" / name


def plan(workspace: Workspace, store: Store) -> dict[str, Step]:
    """The steps of the pipeline by stage name, in order. Nothing is started or written.

    Raises ConfigurationError when haruon.toml or an input that it names is wrong.
    """
    settings = workspace.settings
    known = _Artifacts(store.folder)
    steps: dict[str, Step] = {}
    for name in PIPELINE:
        stage = STAGES[name]
        configure = stage.load().configure
        assert configure is not None, name
        params = configure(settings, known)
        mark, _ = fingerprint(stage, params, store.folder)
        finished = store.finished(mark)
        runs = list(store.of_stage(name))
        step = Step(
            name, params, mark, finished, runs[0] if runs else None, _state(finished, mark, runs)
        )
        known.add(step)
        steps[name] = step
    return steps


def inputs(store: Store, steps: dict[str, Step]) -> Inputs:
    """Where the stages of a plan left their artefacts, or will leave them."""
    known = _Artifacts(store.folder)
    for step in steps.values():
        known.add(step)
    return known


def require_ready(steps: dict[str, Step], stage: str) -> Step:
    """The step of `stage`. Raises ConfigurationError while a stage before it is not done."""
    return require_done(steps, stage, *STAGES[stage].after)


def require_done(steps: dict[str, Step], stage: str, *needed: str) -> Step:
    """The same where only the stages `needed` have to be done."""
    for earlier in needed:
        if steps[earlier].finished is None:
            raise ConfigurationError(
                f"{stage} needs the result of {earlier}, which is {steps[earlier].state}",
                do=f"haruon pipeline --to {stage} runs what is missing and then {stage}",
            )
    return steps[stage]


def select(first: str | None, last: str | None) -> tuple[str, ...]:
    """The stages from `first` to `last`, both included. Raises ConfigurationError."""
    start = PIPELINE.index(first) if first else 0
    end = PIPELINE.index(last) if last else len(PIPELINE) - 1
    if start > end:
        raise ConfigurationError(
            f"{first} comes after {last}", where="--from, --to", expected=" → ".join(PIPELINE)
        )
    return PIPELINE[start : end + 1]


def _state(finished: Run | None, mark: str, runs: list[Run]) -> StageState:
    for run in runs:
        state = run.status().state
        if state.active:
            return StageState.QUEUED if state is State.QUEUED else StageState.RUNNING
    if finished:
        return StageState.DONE
    same = next((run for run in runs if run.job.fingerprint == mark), None)
    if same:
        state = same.status().state
        if state in (State.FAILED, State.CRASHED):
            return StageState.FAILED
        if state is State.STOPPED:
            return StageState.STOPPED
    if any(run.status().state is State.FINISHED for run in runs):
        return StageState.STALE
    if runs:
        return StageState.STOPPED if runs[0].status().state is State.STOPPED else StageState.FAILED
    return StageState.NOT_STARTED
