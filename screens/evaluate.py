"""The Evaluate screen: figures of the models, what each of them wrote, the runs before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, VerticalScroll
from textual.widgets import DataTable, Static

from haruon_tui.evaluation import results
from haruon_tui.jobs.store import Run
from haruon_tui.screens import evaluation_texts as texts
from haruon_tui.screens.actions import Mode, bindings
from haruon_tui.screens.plain_text import one_line
from haruon_tui.screens.reading import read_off_loop
from haruon_tui.screens.stage_screen import StageScreen
from haruon_tui.screens.widgets.evaluation_history import EvaluationHistory
from haruon_tui.styles import stylesheet

if TYPE_CHECKING:
    from collections.abc import Sequence

    from haruon_tui.evaluation.difference import Line
    from haruon_tui.jobs.events import Event
    from haruon_tui.planning import Step
    from haruon_tui.screens.history import History
    from haruon_tui.screens.session import Session

VIEWS = ("figures", "reports", "levels", "history")
MAX_CASES = 1000
_SIDES = ("left", "right")
_EMPTY = "No figures yet: merge comes first, then evaluate. R runs every stage that is missing."
_STALE = (
    "The last evaluation is stale: it is of another model or of other settings than today's. "
    "r evaluates; v shows the history."
)


class EvaluateScreen(StageScreen):
    """Figures above, cases and reports below, one of the two where there is little room; or the
    levels of one model; or the history of all evaluations."""

    CSS_PATH = stylesheet("evaluate")
    BINDINGS = bindings("evaluate", "stage", "job")

    def __init__(self, mode: Mode, session: Session) -> None:
        super().__init__(mode, session)
        self._run: Run | None = None
        self._is_earlier = False
        self._result: dict[str, Any] = {}
        self._lines: dict[str, dict[str, Line]] = {}
        """By model and case."""
        self._sides = ["", ""]
        """The models whose reports are shown: the left one and the right one."""
        self._cases: list[str] = []

    def compose_body(self) -> ComposeResult:
        yield Static("", id="merged", markup=False)
        yield Static(_EMPTY, id="empty", markup=False)
        yield Static("", id="summary", markup=False)
        figures: DataTable[Text] = DataTable(id="figures", cursor_type="row", fixed_columns=1)
        yield figures
        with Horizontal(id="reports"):
            cases: DataTable[Text] = DataTable(id="cases", cursor_type="row")
            yield cases
            with Horizontal(id="texts"):
                for side in _SIDES:
                    with VerticalScroll(id=side):
                        yield Static("", id=f"{side}-text", markup=False)
        with VerticalScroll(id="levels"):
            yield Static("", id="levels-text", markup=False)
        yield EvaluationHistory(self.session.workspace, id="history")

    def on_mount(self) -> None:
        self.add_class("-figures")
        self._show(None, {})

    # What is shown

    def show_plan(self, steps: dict[str, Step]) -> None:
        stale = steps["evaluate"].state == "stale"
        self.query_one("#empty", Static).update(_STALE if stale else _EMPTY)

    def show_result(self, stage: str, run: Run, result: dict[str, Any] | None) -> None:
        if stage == "merge":
            words = f"merged: {one_line(result.get('summary', ''))}" if result else ""
            self.query_one("#merged", Static).update(words)
            return
        self._show(run if result is not None else None, result or {})
        if result is None:
            self._show_newest()  # of other models than the plan's

    def show_update(self, history: History, events: list[Event]) -> None:
        if history.stage == "evaluate" and any(event["kind"] == "finished" for event in events):
            self._show_newest()
            if self._view == "history":
                self._read_history()

    def _show_newest(self) -> None:
        """The newest evaluation of models that hold today, whichever they are."""
        from haruon_tui.evaluation import history
        from haruon_tui.jobs.store import Store

        current = self._current()

        def newest() -> tuple[Run, dict[str, Any]] | None:
            return history.newest(Store(self.session.workspace.runs), current)

        def show(found: tuple[Run, dict[str, Any]] | None) -> None:
            if found:
                self._show(*found)

        read_off_loop(self, newest, show)

    def _current(self) -> list[str]:
        steps = self.session.steps.values()
        return [step.finished.id for step in steps if step.finished]

    def _show(self, run: Run | None, result: dict[str, Any], model: str = "") -> None:
        """Show an evaluation, with `model`, else its last one, at the right."""
        self._run, self._result, self._is_earlier = run, result, bool(model)
        models = list(results.models_of(result))
        self._sides = [models[0], model or models[-1]] if models else ["", ""]
        self.set_class(not models, "-empty")
        self._lines = {}
        self._show_summary()
        self._show_figures()
        self._show_side()
        if run is None or not models:
            return

        def show(lines: Sequence[Line]) -> None:
            if self._run is run:  # else another evaluation is shown by now
                for line in lines:
                    self._lines.setdefault(line["model"], {})[line["case"]] = line
                self._show_side()

        read_off_loop(self, lambda: results.read_lines(run.artifacts), show)

    def _show_summary(self) -> None:
        words = self._result.get("summary", "")
        earlier = f"{self._run.id}: " if self._run and self._is_earlier else ""
        self.query_one("#summary", Static).update(one_line(f"{earlier}{words}"))

    def _show_figures(self) -> None:
        table = self.query_one("#figures", DataTable)
        table.clear(columns=True)
        table.add_columns("", *map(one_line, results.models_of(self._result)))
        for title, *cells in texts.figure_rows(self._result):
            style = "" if any(cells) else "bold"
            table.add_row(Text(title, style=style), *map(Text, cells))

    def _show_side(self) -> None:
        """The cases with the worst reports of the right model first, and its levels."""
        left, right = (self._lines.get(name, {}) for name in self._sides)
        self.set_class(self._sides[0] == self._sides[1], "-single")
        ordered = sorted(right, key=lambda case: -right[case]["badness"])
        self._cases = ordered[:MAX_CASES]
        table = self.query_one("#cases", DataTable)
        table.clear(columns=True)
        names = [one_line(name) for name in dict.fromkeys(self._sides)]
        table.add_columns("Case", *names, "Why")
        for case in self._cases:
            marks = [texts.mark(side.get(case)) for side in (left, right)][-len(names) :]
            why = texts.worst_reason(right[case])
            table.add_row(Text(one_line(case)), *map(Text, marks), Text(why))
        model = results.models_of(self._result).get(self._sides[1])
        levels = texts.levels_text(self._sides[1], model) if model else Text()
        self.query_one("#levels-text", Static).update(levels)
        self._show_reports()

    @on(DataTable.RowHighlighted, "#cases")
    def _show_reports(self) -> None:
        row = self.query_one("#cases", DataTable).cursor_row
        case = self._cases[row] if row < len(self._cases) else ""
        for side, name in zip(_SIDES, self._sides, strict=True):
            line = self._lines.get(name, {}).get(case)
            self.query_one(f"#{side}-text", Static).update(texts.report_text(name, line))
            self.query_one(f"#{side}").scroll_home(animate=False)

    # The history

    def _read_history(self) -> None:
        self.query_one(EvaluationHistory).read(self._current())

    @on(EvaluationHistory.Chosen)
    def _show_chosen(self, event: EvaluationHistory.Chosen) -> None:
        run = Run(self.session.workspace.runs / event.row.run)

        def show(result: dict[str, Any] | None) -> None:
            if result:
                self._show(run, result, event.row.model)
                self._view = "figures"

        read_off_loop(self, lambda: run.status().result, show)

    # Keys

    @property
    def _view(self) -> str:
        return next((name for name in VIEWS if self.has_class(f"-{name}")), VIEWS[0])

    @_view.setter
    def _view(self, view: str) -> None:
        for name in VIEWS:
            self.set_class(name == view, f"-{name}")
        focus = {"reports": "#cases", "history": "#runs"}.get(view, f"#{view}")
        self.query_one(focus).focus()
        if view == "history":
            self._read_history()
        self.refresh_bindings()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action in ("other_model", "write_out"):
            return True if results.models_of(self._result) else None
        if action == "mark":
            return self._view == "history"
        return super().check_action(action, parameters)

    def action_change_view(self) -> None:
        has_room = not (self.has_class("-short") or self.has_class("-narrow"))
        views = [view for view in VIEWS if not (has_room and view == "reports")]
        at = views.index(self._view) if self._view in views else 0
        self._view = views[(at + 1) % len(views)]

    def action_other_model(self, side: int) -> None:
        """The next model of this evaluation at a side."""
        models = list(results.models_of(self._result))
        at = models.index(self._sides[side])
        self._sides[side] = models[(at + 1) % len(models)]
        self._show_side()

    def action_mark(self) -> None:
        self.query_one(EvaluationHistory).mark()

    def action_evaluate_models(self) -> None:
        from haruon_tui.screens.pick import PickScreen

        def take(name: str | None) -> None:
            if name:
                self.session.evaluate([name])

        def ask(kinds: list[str]) -> None:
            choices = [
                ("all", "all: every model of this workspace"),
                ("base", "base: the model before training"),
                ("adapter", "adapter: the base with what training left"),
                ("tuned", "tuned: the merged model"),
                *((kind, f"{kind}: the GGUF") for kind in dict.fromkeys(["F16", *kinds])),
            ]
            self.app.push_screen(PickScreen("Evaluate", choices, free=True), take)

        def kinds() -> list[str]:
            return list(self.session.workspace.settings.gguf.quantize)

        read_off_loop(self, kinds, ask)

    def action_write_out(self) -> None:
        run = self._run
        if run is None:
            return
        out = self.session.workspace.folder / f"evaluation-{run.id[-4:]}.html"

        def write() -> str:
            results.write_report(run.artifacts, out)
            return f"{out.name}: one file to open in a browser or to send"

        def tell(words: str) -> None:
            self.notify(words)

        read_off_loop(self, write, tell)
