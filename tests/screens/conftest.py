"""A fake engine: Pilot waits for an idle CPU, so no real job may run under it."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from haruon_tui.app import HaruonApp
from haruon_tui.errors import ConfigurationError
from haruon_tui.jobs.launch import Submission
from haruon_tui.jobs.pool import Update
from haruon_tui.jobs.store import JobFile, Progress, Run, State, Status
from haruon_tui.planning import StageState, Step
from haruon_tui.screens.engine import Engine, Listener, Overview, RunRow
from haruon_tui.stage import PIPELINE, Params
from haruon_tui.workspace import Workspace


class FakeEngine(Engine):
    """Runs nothing: the test says what happens."""

    def __init__(self, runs: Path) -> None:
        self.folder = runs
        self.asked: list[tuple[str, str]] = []
        self.known: list[RunRow] = []
        self.steps = {name: self.step(name) for name in PIPELINE}
        self.results: dict[str, dict[str, Any]] = {}
        self.problem: dict[str, str] | None = None
        self.refusal: Exception | None = None
        self.due = False
        self.notify = True
        self.listener: Listener = lambda update: None

    def connect(self, listener: Listener) -> FakeEngine:
        self.listener = listener
        return self

    @staticmethod
    def step(
        name: str, state: StageState = StageState.NOT_STARTED, run: Run | None = None
    ) -> Step:
        finished = run if state is StageState.DONE else None
        return Step(name, Params(), f"mark-{name}", finished, run, state)

    def add(
        self,
        stage: str,
        state: State = State.RUNNING,
        *,
        result: dict[str, Any] | None = None,
        parent: str | None = None,
    ) -> Run:
        """A run in this state, known to the overview and the plan."""
        run = Run(self.folder / f"20260101-0000{len(self.known):02}-{stage}-aaaa")
        run._job = JobFile(
            id=run.id,
            stage=stage,
            created=time.time() - 60,
            params={},
            inputs={},
            fingerprint=f"mark-{stage}",
            parent=parent,
        )
        status = self.status(state, result=result)
        self.known.insert(0, RunRow(run, stage, parent, run.job.created, None, status))
        if stage in self.steps:
            states = {State.FINISHED: StageState.DONE, State.RUNNING: StageState.RUNNING}
            self.steps[stage] = self.step(stage, states.get(state, StageState.FAILED), run)
        if result:
            self.results[stage] = result
        return run

    @staticmethod
    def status(
        state: State, *, result: dict[str, Any] | None = None, error: dict[str, str] | None = None
    ) -> Status:
        last = {"kind": str(state), "t": time.time(), "result": result or {"summary": "done"}}
        if state is State.FAILED:
            last["error"] = error or {"what": "it failed"}
        progress = Progress(45, 100, "training", "steps", time.time())
        return Status(state, 1, last, progress, None)

    def push(self, run: Run, status: Status, *events: dict[str, Any]) -> None:
        """News of a run, as the pool's threads bring it."""
        numbered = [
            {"v": 1, "seq": number, "t": time.time(), "attempt": 1, **event}
            for number, event in enumerate(events, start=1)
        ]
        self.listener(Update(run, numbered, status))

    def overview(self) -> Overview:
        self.due = False
        if self.problem:
            return Overview(runs=tuple(self.known), problem=self.problem)
        return Overview(
            dict(self.steps), dict(self.results), tuple(self.known), "tiny", self.notify
        )

    def poll(self) -> bool:
        return self.due

    def submit(self, stage: str, *, again: bool = False) -> Submission:
        self.asked.append(("submit again" if again else "submit", stage))
        if self.refusal:
            raise self.refusal
        return Submission(self.add(stage), "new")

    def submit_pipeline(self) -> Submission:
        self.asked.append(("submit", "pipeline"))
        return Submission(self.add("pipeline"), "new")

    def probe(self) -> Submission:
        self.asked.append(("submit", "probe"))
        return Submission(self.add("probe"), "new")

    def evaluate(self, models: Sequence[str]) -> Submission:
        self.asked.append(("evaluate", ", ".join(models)))
        return Submission(self.add("evaluate"), "new")

    def push_to_hub(self, repository: str) -> Submission:
        self.asked.append(("push", repository))
        return Submission(self.add("push"), "new")

    def write_card(self) -> str:
        self.asked.append(("card", ""))
        return "the model card is there"

    def export(self, gguf: str | None, out: Path | None, replace: bool) -> Submission:
        self.asked.append(("export", f"{gguf} {out} {replace}"))
        return Submission(self.add("export"), "new")

    def self_test(self) -> Submission:
        self.asked.append(("submit", "selftest"))
        return Submission(self.add("selftest"), "new")

    def generate(self) -> Submission:
        self.asked.append(("submit", "generate"))
        return Submission(self.add("generate"), "new")

    def set_base(self, base: str) -> None:
        self.asked.append(("set base", base))

    def set_keys(self, values: dict[str, Any]) -> None:
        self.asked.append(("set keys", repr(values)))

    def stop(self, run: Run) -> None:
        self.asked.append(("stop", run.id))

    def resume(self, run: Run) -> None:
        self.asked.append(("resume", run.id))

    def remove(self, run: Run) -> int:
        self.asked.append(("remove", run.id))
        self.known = [row for row in self.known if row.run is not run]
        return 1000

    def follow(self, run: Run) -> None:
        self.asked.append(("follow", run.id))

    def close(self) -> None:
        self.asked.append(("close", ""))


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace.init(tmp_path / "ws", "tiny")


@pytest.fixture
def engine(workspace: Workspace) -> FakeEngine:
    return FakeEngine(workspace.runs)


@pytest.fixture
def make_app(workspace: Workspace, engine: FakeEngine) -> Callable[..., HaruonApp]:
    def make(*, read_only: bool = False) -> HaruonApp:
        return HaruonApp(workspace, read_only=read_only, open_engine=engine.connect)

    return make


@pytest.fixture
def until() -> Callable[..., Awaitable[None]]:
    """Wait, with the app alive, until something holds; fail when it does not in 10 s."""

    async def wait(pilot: Pilot[None], holds: Callable[[], object], what: str = "") -> None:
        deadline = time.monotonic() + 10
        while not holds():
            assert time.monotonic() < deadline, what or "did not come true in 10 s"
            await pilot.pause(0.01)

    return wait


@pytest.fixture
def text_of() -> Callable[[HaruonApp], str]:
    """What the screen on top shows, as text."""

    def read(app: HaruonApp) -> str:
        lines = app.screen._compositor.render_strips()
        return "\n".join(strip.text for strip in lines)

    return read


@pytest.fixture
def refused() -> ConfigurationError:
    return ConfigurationError(
        "train needs model first", where="here", expected="a model", do="press R"
    )
