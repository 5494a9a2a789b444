"""The base of the screens of stages: state, start, stop and follow of one or several stages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.text import Text
from textual import events as textual_events
from textual.app import ComposeResult, RenderResult
from textual.containers import VerticalScroll
from textual.widget import Widget
from textual.widgets import Static

from haruon_tui.screens.actions import Mode, bindings
from haruon_tui.screens.plain_text import one_line, plain
from haruon_tui.screens.session_screen import SessionScreen
from haruon_tui.screens.stage_states import guidance, stage_state, stage_title
from haruon_tui.screens.widgets.error_panel import ErrorPanel
from haruon_tui.screens.widgets.job_panel import JobPanel

if TYPE_CHECKING:
    from haruon_tui.jobs.events import Event
    from haruon_tui.jobs.store import Run
    from haruon_tui.planning import Step
    from haruon_tui.screens.history import History
    from haruon_tui.screens.session import Session


class StageScreen(SessionScreen):
    """Subclasses give `compose_body` and override the hooks `show_plan`, `show_update` and
    `show_result`. (Not on_update: Textual sends every screen a message of that name.)

    With several stages, one of them is `stage`, the chosen one: the job panel and the keys of the
    scopes "stage" and "job" mean it.
    """

    BINDINGS = bindings("stage", "job")

    def __init__(self, mode: Mode, session: Session) -> None:
        super().__init__(mode, session)
        self.stage = mode.stages[0]
        self._chosen_by_user = False
        self._result_runs: dict[str, str] = {}

    # For subclasses

    def compose_body(self) -> ComposeResult:
        """The screen's own widgets, inside a scrolling container. Any width from 80 columns."""
        yield ResultText(id="result")

    def show_plan(self, steps: dict[str, Step]) -> None:
        """There is a plan: every stage's Step by name. Called often; keep it cheap."""

    def show_update(self, history: History, events: list[Event]) -> None:
        """A run of one of this screen's stages has news; `events` are the new ones."""

    def show_result(self, stage: str, run: Run, result: dict[str, Any] | None) -> None:
        """The result that holds today for `stage` is another one than before, or (None) there is
        none any more and `run` is the newest. `result` is the stage's Result as a dict."""
        if shown := self.query("#result").results(ResultText):
            for widget in shown:
                widget.show(stage, result)

    # The frame

    def compose_mode(self) -> ComposeResult:
        yield ErrorPanel(id="problem")
        if len(self.mode.stages) > 1:
            yield StagePicker(self)
        yield Static("", id="guidance", markup=False)
        with VerticalScroll(id="body", can_focus=False):
            yield from self.compose_body()
        yield JobPanel(id="job")

    def job(self) -> History | None:
        return self.session.history(self.session.shown(self.stage))

    def overview_changed(self) -> None:
        self._choose()
        super().overview_changed()
        self.query_one("#problem", ErrorPanel).show(self.session.overview.problem)
        if self.session.steps:
            self.show_plan(self.session.steps)
        for stage in self.mode.stages:
            self._compare_result(stage)
        self._sync()

    def run_changed(self, history: History, events: list[Event]) -> None:
        super().run_changed(history, events)
        if history.stage in self.mode.stages:
            self._choose()
            self.show_update(history, events)
        self._sync()

    def tick(self) -> None:
        for panel in self.query(JobPanel):  # none while the screen is being taken down
            panel.tick()

    def _compare_result(self, stage: str) -> None:
        step = self.session.steps.get(stage)
        run = (step.finished or step.latest) if step else None
        if step is None or run is None:
            return
        result = self.session.results.get(stage) if step.finished else None
        mark = run.id if result is not None else ""
        if self._result_runs.get(stage, "") != mark:
            self._result_runs[stage] = mark
            self.show_result(stage, run, result)

    def _choose(self) -> None:
        """Follow the work: the active stage, else the first that is not done."""
        if self._chosen_by_user:
            return
        stages = self.mode.stages
        active = [stage for stage in stages if self.session.active(stage)]
        waiting = [stage for stage in stages if stage_state(self.session, stage).name != "done"]
        self.stage = (active or waiting or [stages[-1]])[0]

    def _sync(self) -> None:
        title = stage_title(self.stage)
        hint = guidance(self.session, self.stage, title)
        self.query_one("#guidance", Static).update(hint)
        job = self.job()
        self.query_one("#job", JobPanel).show(job, f"No job yet: {title}.")
        state = job.status.state if job and job.status else None
        self.set_class(state in ("failed", "crashed"), "-failed")  # its reason needs room
        for picker in self.query(StagePicker):
            picker.refresh()
        self.refresh_bindings()

    # Keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "pick":
            return len(self.mode.stages) > 1
        if action in ("run", "run_again"):
            return None if self.session.active(self.stage) else True
        return super().check_action(action, parameters)

    def action_run(self) -> None:
        self.session.submit(self.stage)

    def action_memory(self) -> None:
        """On the screens whose keys have it."""
        from haruon_tui.screens.memory import MemoryScreen

        self.app.push_screen(MemoryScreen(self.session))

    def action_advice(self) -> None:
        from haruon_tui.screens.advice import AdviceScreen

        self.app.push_screen(AdviceScreen(self.session))

    def action_run_again(self) -> None:
        self.session.submit(self.stage, again=True)

    def action_pick(self, step: int) -> None:
        stages = self.mode.stages
        self.pick(stages[(stages.index(self.stage) + step) % len(stages)])

    def pick(self, stage: str) -> None:
        """Choose one of this screen's stages."""
        self.stage = stage
        self._chosen_by_user = True
        self._sync()


class StagePicker(Widget):
    """The screen's stages with their states; the chosen one in brackets. A click chooses."""

    def __init__(self, screen: StageScreen) -> None:
        super().__init__()
        self._screen = screen

    def render(self) -> RenderResult:
        line = Text(no_wrap=True, overflow="ellipsis")
        for label, chosen, _ in self._labels():
            line.append(label, style="bold reverse" if chosen else "")
        return line

    def on_click(self, event: textual_events.Click) -> None:
        at = 0
        for label, _, stage in self._labels():
            at += len(label)
            if event.x < at:
                self._screen.pick(stage)
                return

    def _labels(self) -> list[tuple[str, bool, str]]:
        labels = []
        for stage in self._screen.mode.stages:
            chosen = stage == self._screen.stage
            opening, closing = ("[", "]") if chosen else (" ", " ")
            state = stage_state(self._screen.session, stage).text
            labels.append((f"{opening}{stage} {state}{closing} ", chosen, stage))
        return labels


class ResultText(Static):
    """The results of the screen's stages as names and values."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__("", id=id, markup=False)
        self._results: dict[str, dict[str, Any]] = {}

    def show(self, stage: str, result: dict[str, Any] | None) -> None:
        """Show or, with None, take away a stage's result."""
        self._results.pop(stage, None)
        if result is not None:
            self._results[stage] = result
        self.update(Text("\n\n").join(map(result_text, self._results.values())))


def result_text(result: dict[str, Any]) -> Text:
    """A result as its summary and one line per field; what is nested is indented."""
    text = Text(plain(result.get("summary", "")), style="bold")
    for name, value in result.items():
        if name != "summary":
            _append(text, name, value, 1)
    return text


_MAX_ITEMS = 40


def _append(text: Text, name: str, value: Any, depth: int) -> None:
    indent = "  " * depth
    label = one_line(name).replace("_", " ")
    items = list(value.items()) if isinstance(value, dict) else None
    if isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
        items = [(str(number), item) for number, item in enumerate(value, start=1)]
    if items is None:
        shown = ", ".join(map(str, value)) if isinstance(value, list) else _scalar(value)
        text.append(f"\n{indent}{label}: ", style="not bold")
        text.append(one_line(shown), style="not bold")
        return
    text.append(f"\n{indent}{label}", style="not bold")
    for key, item in items[:_MAX_ITEMS]:
        _append(text, str(key), item, depth + 1)
    if len(items) > _MAX_ITEMS:
        text.append(f"\n{indent}  … {len(items) - _MAX_ITEMS} more", style="not bold")


def _scalar(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    return "–" if value is None else str(value)
