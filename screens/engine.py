"""The engine as the screens use it. Its methods touch the disk: never on the event loop."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from haruon_tui.jobs.launch import Submission
    from haruon_tui.jobs.pool import Update
    from haruon_tui.jobs.store import Run, Status
    from haruon_tui.planning import Step
    from haruon_tui.workspace import Workspace

MAX_ROWS = 1000
_REPLAN_SECONDS = 15.0

Listener = Callable[["Update"], None]


@dataclass(frozen=True)
class RunRow:
    """A run as the list of jobs shows it. Times are Unix seconds; `ended` is None while active."""

    run: Run
    stage: str
    parent: str | None
    created: float
    ended: float | None
    status: Status


@dataclass(frozen=True)
class Overview:
    """The workspace at one moment. `steps` is empty when there is a `problem` (an error's parts)
    with the settings or an input. `results` holds the result of every finished step."""

    steps: dict[str, Step] = field(default_factory=dict)
    results: dict[str, dict[str, Any]] = field(default_factory=dict)
    runs: tuple[RunRow, ...] = ()
    profile: str = ""
    notify: bool = True
    problem: dict[str, str] | None = None


class Engine:
    """Planning, pool and store of one workspace. Importing them is part of making one."""

    def __init__(self, workspace: Workspace, listener: Listener) -> None:
        from haruon_tui.jobs.pool import Pool
        from haruon_tui.jobs.store import Store

        self._workspace = workspace
        self._store = Store(workspace.runs)
        self._pool = Pool(workspace, self._store, listener)
        self._seen: tuple[int, ...] = ()
        self._seen_at = 0.0
        self._troubled = False

    def overview(self) -> Overview:
        """Plan and list the runs. Never raises: what is wrong is in `problem`."""
        self._seen, self._seen_at = self._stamp(), time.monotonic()
        runs = self._rows()
        try:
            from haruon_tui import planning

            settings = self._workspace.settings
            steps = planning.plan(self._workspace, self._store)
        except Exception as error:  # noqa: BLE001 - whatever is wrong, the screen must say it and go on
            self._troubled = True
            return Overview(runs=runs, problem=parts(error))
        self._troubled = False
        results = {
            name: result
            for name, step in steps.items()
            if step.finished and (result := step.finished.status().result) is not None
        }
        return Overview(steps, results, runs, settings.profile, notify=settings.jobs.notify)

    def poll(self) -> bool:
        """Follow runs that others started; True when an overview is due."""
        self._pool.discover()
        stale = time.monotonic() - self._seen_at > _REPLAN_SECONDS
        return self._troubled or stale or self._stamp() != self._seen

    def submit(self, stage: str, *, again: bool = False) -> Submission:
        """Submit a stage of today's plan. Raises HaruonError."""
        from haruon_tui import planning
        from haruon_tui.errors import ConfigurationError
        from haruon_tui.stage import STAGES

        steps = planning.plan(self._workspace, self._store)
        if missing := [name for name in STAGES[stage].after if not steps[name].finished]:
            raise ConfigurationError(
                f"{stage} needs {' and '.join(missing)} first",
                do=f"run {missing[0]}, or press R to run every stage in order",
            )
        return self._pool.submit(stage, steps[stage].params, reuse=not again)

    def submit_pipeline(self) -> Submission:
        """Submit the whole pipeline. Raises HaruonError."""
        from haruon_tui import pipeline_stage, planning

        steps = planning.plan(self._workspace, self._store)
        params = pipeline_stage.params_for(steps, planning.select(None, None))
        return self._pool.submit("pipeline", params, reuse=False)

    def probe(self) -> Submission:
        """Let today's base speak again. Raises HaruonError."""
        from haruon_tui import planning
        from haruon_tui.errors import ConfigurationError
        from haruon_tui.model.probe import Params
        from haruon_tui.model.stage import Params as ModelParams

        step = planning.plan(self._workspace, self._store)["model"]
        if step.finished is None or not isinstance(step.params, ModelParams):
            raise ConfigurationError("there is no base model to hear yet", do="press r to get it")
        folder = step.finished.artifacts / "model"
        params = Params(folder=folder, remote_code=step.params.remote_code)
        return self._pool.submit("probe", params, reuse=False)

    def evaluate(self, models: Sequence[str]) -> Submission:
        """Evaluate models by their names or paths. Raises HaruonError."""
        from haruon_tui import planning
        from haruon_tui.evaluation import choice
        from haruon_tui.evaluation.stage import Params

        steps = planning.plan(self._workspace, self._store)
        params = planning.require_done(steps, "evaluate", "dataset").params
        assert isinstance(params, Params)
        known = choice.candidates(self._workspace.settings, planning.inputs(self._store, steps))
        return self._pool.submit("evaluate", choice.choose(params, models, known))

    def export(self, gguf: str | None, out: Path | None, replace: bool) -> Submission:
        """Export for the app; see haruon_tui.export.choice.params_for. Raises HaruonError."""
        from haruon_tui import planning
        from haruon_tui.export.choice import params_for

        steps = planning.plan(self._workspace, self._store)
        params = params_for(
            self._workspace, self._store, steps, gguf=gguf, out=out, replace=replace
        )
        return self._pool.submit("export", params, reuse=False)

    def push_to_hub(self, repository: str) -> Submission:
        """Push every GGUF of today and its card to the Hub. Raises HaruonError."""
        from haruon_tui import planning
        from haruon_tui.handover.push import params_for

        steps = planning.plan(self._workspace, self._store)
        params, _ = params_for(self._store, steps, repository)
        return self._pool.submit("push", params, reuse=False)

    def write_card(self) -> str:
        """Write the model card; where it is, and what it lacks. Raises HaruonError."""
        from haruon_tui import planning
        from haruon_tui.handover import card
        from haruon_tui.handover.gather import gather

        found = gather(self._store, planning.plan(self._workspace, self._store))
        path = self._workspace.folder / "export" / "MODEL_CARD.md"
        card.save(path, card.write(found.runs).text)
        return "\n".join([f"the model card is {path}", *found.notes])

    def self_test(self) -> Submission:
        """Measure the devices of this machine. Raises HaruonError."""
        from haruon_tui.hardware.self_test import Params

        return self._pool.submit("selftest", Params(), reuse=False, fresh=True)

    def generate(self) -> Submission:
        """Generate the examples of today's settings. Raises HaruonError."""
        from haruon_tui.dataset.generation import stage

        params = stage.configure(self._workspace.settings)
        stage.require_key(params)
        return self._pool.submit("generate", params)

    def set_base(self, base: str) -> None:
        """Write another base model into haruon.toml. Raises HaruonError."""
        from haruon_tui.settings_file import set_base

        set_base(self._workspace.file, base)

    def set_keys(self, values: dict[str, Any]) -> None:
        """Write keys into haruon.toml, such as {"train.rank": 8}. Raises HaruonError."""
        from haruon_tui.settings_file import set_keys

        set_keys(self._workspace.file, values)

    def stop(self, run: Run) -> None:
        """Stop a run; returns when it has ended, at the latest after the grace time."""
        from haruon_tui.jobs import launch

        launch.stop(run, self._workspace.settings.jobs.grace_seconds)

    def resume(self, run: Run) -> None:
        """Resume a run. Raises HaruonError."""
        self._pool.resume(run)

    def remove(self, run: Run) -> int:
        """Remove a run, return the bytes freed. Raises HaruonError."""
        return self._store.remove(run)

    def follow(self, run: Run) -> None:
        """Read a run's log from its start, and go on while it is active."""
        self._pool.follow(run, anew=True)

    def close(self) -> None:
        """Stop following; jobs go on."""
        self._pool.close()

    def _rows(self) -> tuple[RunRow, ...]:
        rows = []
        for run in reversed(self._store.all()[-MAX_ROWS:]):
            job, status = run.job, run.status()
            rows.append(RunRow(run, job.stage, job.parent, job.created, ended(status), status))
        return tuple(rows)

    def _stamp(self) -> tuple[int, ...]:
        stamps = []
        for path in (self._workspace.file, self._workspace.runs):
            try:
                status = path.stat()
                stamps += [status.st_mtime_ns, status.st_size]
            except OSError:
                stamps += [0, 0]
        return tuple(stamps)


def ended(status: Status) -> float | None:
    """When a run that is no longer active wrote its last news."""
    if status.state.active:
        return None
    last = float(status.last["t"]) if status.last else 0.0
    return max(last, status.progress.at if status.progress else 0.0) or None


def parts(error: Exception) -> dict[str, str]:
    """The parts of an error for the screen: what, where, expected, do."""
    from haruon_tui.errors import HaruonError

    if isinstance(error, HaruonError):
        return error.as_dict()
    return {"what": f"{type(error).__name__}: {error}"}
