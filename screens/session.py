"""What all screens share: the state of the workspace, and requests to the engine.

Requests return at once. A thread of its own carries them out and posts what comes of them: news
to the app, which lets the session take them in and tells the screens. It is a daemon thread, not
a Textual worker, because quitting must not wait for it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Literal

from textual.message import Message

from haruon_tui.screens.engine import Engine, Listener, Overview, parts
from haruon_tui.screens.history import History
from haruon_tui.screens.load import LoadWatch

if TYPE_CHECKING:
    from pathlib import Path

    from haruon_tui.jobs.events import Event
    from haruon_tui.jobs.launch import Submission
    from haruon_tui.jobs.pool import Update
    from haruon_tui.jobs.store import Run, Status
    from haruon_tui.planning import Step
    from haruon_tui.workspace import Workspace

_EVENTS_PER_MESSAGE = 2000
"""More at once would hold up the event loop for longer than a key press may wait."""

Severity = Literal["information", "warning", "error"]

_HOW = {
    "new": "started",
    "joined": "is under way already; following it",
    "resumed": "goes on from where it stopped",
    "reused": "is done already with these settings (f runs it again)",
}


class OverviewReady(Message):
    """The workspace was looked at."""

    def __init__(self, overview: Overview) -> None:
        super().__init__()
        self.overview = overview


class RunNews(Message):
    """Events of a run since the last news, and its state now."""

    def __init__(
        self,
        run: Run,
        stage: str,
        parent: str | None,
        events: list[Event],
        status: Status,
        output: list[str],
    ) -> None:
        super().__init__()
        self.run = run
        self.stage = stage
        self.parent = parent
        self.events = events
        self.status = status
        self.output = output


class Notice(Message):
    """A request was carried out or refused."""

    def __init__(self, text: str, severity: Severity = "information") -> None:
        super().__init__()
        self.text = text
        self.severity: Severity = severity


class Session:
    """State is read and changed on the event loop only; the engine is used off it only."""

    def __init__(
        self,
        workspace: Workspace,
        post: Callable[[Message], object],
        *,
        read_only: bool = False,
        open_engine: Callable[[Listener], Engine] | None = None,
    ) -> None:
        self.workspace = workspace
        self.read_only = read_only
        self.overview = Overview()
        self.ready = False
        """Whether the workspace has been looked at."""
        self.steps: dict[str, Step] = {}
        """The last plan that could be made; empty before the first."""
        self.results: dict[str, dict[str, Any]] = {}
        """By stage, the result that holds under today's settings."""
        self.histories: dict[str, History] = {}
        self.load = LoadWatch(post)
        self._post = post
        self._open = open_engine or (lambda listener: Engine(workspace, listener))
        self._engine: Engine | None = None
        self._requests: SimpleQueue[Callable[[Engine], None]] = SimpleQueue()
        self._polling = False
        self._looking = False
        self._closed = False
        self._expected: set[str] = set()  # runs whose end is news here

    # What the screens read

    def active(self, stage: str) -> History | None:
        """The stage's newest active run."""
        found = [h for h in self.histories.values() if h.stage == stage and h.active]
        return max(found, key=lambda history: history.run.id, default=None)

    def running(self) -> list[History]:
        """Every active run."""
        return [history for history in self.histories.values() if history.active]

    def shown(self, stage: str) -> Run | None:
        """The run that speaks for the stage: the active one, the one whose result holds today, or
        the newest."""
        if active := self.active(stage):
            return active.run
        step = self.steps.get(stage)
        if step is None and self.steps:  # a stage outside the pipeline
            return next((row.run for row in self.overview.runs if row.stage == stage), None)
        return (step.finished or step.latest) if step else None

    def history(self, run: Run | None) -> History | None:
        """What was read of `run`. Reading starts with the first call."""
        if run is None:
            return None
        if run.id not in self.histories:
            row = next((row for row in self.overview.runs if row.run.id == run.id), None)
            if row is None:
                return None
            history = History(run, row.stage, row.parent)
            history.status = row.status
            self.histories[run.id] = history
            self._request(lambda engine: engine.follow(run))
        return self.histories[run.id]

    # What the screens ask for

    def start(self) -> None:
        """Open the engine and look at the workspace."""
        threading.Thread(target=self._serve, name="engine", daemon=True).start()
        self.load.start()
        self.refresh()

    def refresh(self) -> None:
        """Look at the workspace again, soon."""
        if not self._looking:
            self._looking = True
            self._request(self._look)

    def poll(self) -> None:
        """Look for runs that others started and for changes; does nothing while one is under
        way."""
        if not self._polling:
            self._polling = True
            self._request(self._poll)

    def submit(self, stage: str, *, again: bool = False) -> None:
        """Run a stage."""
        if self._may("start"):
            self._request(lambda engine: self._submitted(engine.submit(stage, again=again), stage))

    def submit_pipeline(self) -> None:
        """Run every stage that is not done."""
        if self._may("start"):
            self._request(lambda engine: self._submitted(engine.submit_pipeline(), "pipeline"))

    def probe(self) -> None:
        """Let the base model speak again."""
        if self._may("start"):
            self._request(lambda engine: self._submitted(engine.probe(), "probe"))

    def evaluate(self, models: Sequence[str]) -> None:
        """Evaluate models by their names or paths."""
        if self._may("start"):
            self._request(lambda engine: self._submitted(engine.evaluate(models), "evaluate"))

    def export(self, gguf: str | None, out: Path | None, *, replace: bool) -> None:
        """Write the folder for the app."""
        if self._may("start"):
            self._request(
                lambda engine: self._submitted(engine.export(gguf, out, replace), "export")
            )

    def push(self, repository: str) -> None:
        """Push the GGUF files and their card to the Hub; nothing there is replaced."""
        if self._may("start"):
            self._request(lambda engine: self._submitted(engine.push_to_hub(repository), "push"))

    def write_card(self) -> None:
        """Write the model card."""
        if self._may("change"):
            self._request(lambda engine: self._say(engine.write_card()))

    def self_test(self) -> None:
        """Measure what the devices really do."""
        if self._may("start"):
            self._request(lambda engine: self._submitted(engine.self_test(), "selftest"))

    def generate(self) -> None:
        """Ask for the examples of today's [generate]."""
        if self._may("start"):
            self._request(lambda engine: self._submitted(engine.generate(), "generate"))

    def set_base(self, base: str) -> None:
        """Make another model the workspace's base."""

        def carry_out(engine: Engine) -> None:
            engine.set_base(base)
            self._say(f"model.base is {base} now")
            self._look(engine)

        if self._may("change"):
            self._request(carry_out)

    def set_keys(self, values: dict[str, Any]) -> None:
        """Write keys into haruon.toml, such as {"train.rank": 8}."""

        def carry_out(engine: Engine) -> None:
            engine.set_keys(values)
            words = ", ".join(f"{name} = {value}" for name, value in values.items())
            self._say(f"haruon.toml: {words}")
            self._look(engine)

        if self._may("change"):
            self._request(carry_out)

    def stop(self, run: Run) -> None:
        """Ask a run to stop, in a thread of its own: it can take the whole grace time."""
        engine = self._engine
        if self._may("stop") and engine:
            self._say(f"asked {run.id} to stop")
            threading.Thread(
                target=self._carry_out, args=(engine, lambda e: e.stop(run)), daemon=True
            ).start()

    def resume(self, run: Run) -> None:
        """Let a run go on from its last checkpoint."""

        def carry_out(engine: Engine) -> None:
            engine.resume(run)
            self._expected.add(run.id)
            self._say(f"{run.id} goes on")

        if self._may("resume"):
            self._request(carry_out)

    def remove(self, run: Run) -> None:
        """Delete a run and its files."""

        def carry_out(engine: Engine) -> None:
            from haruon_tui.screens.history import size

            self._say(f"removed {run.id}, {size(engine.remove(run))} freed")
            self._look(engine)

        if self._may("remove"):
            self._request(carry_out)

    def close(self) -> None:
        """Stop following; jobs go on."""
        self._closed = True
        self.load.close()
        if self._engine:
            self._engine.close()

    # What the app brings in

    def take_overview(self, overview: Overview) -> None:
        """Take in a look at the workspace. With a problem, the last good plan stays."""
        self.overview, self.ready = overview, True
        if overview.problem is None:
            self.steps, self.results = overview.steps, overview.results
        present = {row.run.id for row in overview.runs}
        for run_id in [i for i, h in self.histories.items() if i not in present and not h.active]:
            del self.histories[run_id]

    def take_news(self, news: RunNews) -> tuple[History, list[Event], bool]:
        """Take in news of a run: its history, the events that are new, and whether it ended just
        now."""
        history = self.histories.get(news.run.id)
        if history is None:
            history = History(news.run, news.stage, news.parent)
            self.histories[news.run.id] = history
        before = history.status.state if history.status else None
        fresh = history.feed(news.events, news.status)
        history.output = news.output
        if news.status.state.active:
            self._expected.add(news.run.id)
        if before != news.status.state:
            self.refresh()
        ended = not news.status.state.active and news.run.id in self._expected
        if ended:
            self._expected.discard(news.run.id)
        return history, fresh, ended

    # Off the event loop

    def _serve(self) -> None:
        try:
            self._engine = self._open(self._listen)
        except Exception as error:  # noqa: BLE001 - the screen must say it
            self._post(OverviewReady(Overview(problem=parts(error))))
            return
        while not self._closed:
            self._carry_out(self._engine, self._requests.get())

    def _request(self, request: Callable[[Engine], None]) -> None:
        self._requests.put(request)

    def _carry_out(self, engine: Engine, request: Callable[[Engine], None]) -> None:
        try:
            request(engine)
        except Exception as error:  # noqa: BLE001 - a request that fails must not end the thread
            self._say("\n".join(parts(error).values()), "error")

    def _look(self, engine: Engine) -> None:
        self._looking = False
        self._post(OverviewReady(engine.overview()))

    def _poll(self, engine: Engine) -> None:
        try:
            if engine.poll():
                self._look(engine)
        finally:
            self._polling = False

    def _submitted(self, submission: Submission, stage: str) -> None:
        self._expected.add(submission.run.id)
        if submission.how == "reused":
            self._expected.discard(submission.run.id)
        self._say(f"{stage} {_HOW[submission.how]}")
        if self._engine:
            self._look(self._engine)

    def _listen(self, update: Update) -> None:
        """Called from the pool's threads."""
        if self._closed:
            return
        run = update.run
        crashed = update.status.state == "crashed"
        output = run.last_lines(20) if crashed else []
        for start in range(0, max(1, len(update.events)), _EVENTS_PER_MESSAGE):
            events = update.events[start : start + _EVENTS_PER_MESSAGE]
            self._post(RunNews(run, run.stage, run.job.parent, events, update.status, output))

    def _may(self, what: str) -> bool:
        if self.read_only:
            self._say(f"read-only: this screen watches and cannot {what} anything", "warning")
        return not self.read_only

    def _say(self, text: str, severity: Severity = "information") -> None:
        self._post(Notice(text, severity))
