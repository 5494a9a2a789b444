"""The Evaluate screen: base against tuned in figures, and what each of them wrote."""

from __future__ import annotations

import json
from itertools import islice
from typing import TYPE_CHECKING, Any

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, VerticalScroll
from textual.widgets import DataTable, Static

from haruon_tui.dataset.persona import TRAITS
from haruon_tui.evaluation.results import models_of
from haruon_tui.screens.actions import Mode, bindings
from haruon_tui.screens.plain_text import one_line, plain
from haruon_tui.screens.reading import read_off_loop
from haruon_tui.screens.stage_screen import StageScreen
from haruon_tui.styles import stylesheet

if TYPE_CHECKING:
    from pathlib import Path

    from haruon_tui.jobs.store import Run
    from haruon_tui.screens.session import Session

MAX_CASES = 1000
MODELS = ("base", "tuned")
_MAX_CHARACTERS = 20_000
_EMPTY = "No figures yet: merge comes first, then evaluate. R runs every stage that is missing."

_RATES = (
    ("complete", "every section there"),
    ("levels_exact", "trait levels right"),
    ("levels_within_one", "within one step"),
    ("safe", "nothing forbidden"),
    ("valid", "valid under every rule"),
    ("stopped", "stopped by itself"),
)

Written = dict[str, dict[str, Any]]
"""Lines of generations.jsonl about one case, by model."""


class EvaluateScreen(StageScreen):
    """Figures above, cases and reports below; one of them at a time where there is little room."""

    CSS_PATH = stylesheet("evaluate")
    BINDINGS = bindings("evaluate", "stage", "job")

    def __init__(self, mode: Mode, session: Session) -> None:
        super().__init__(mode, session)
        self._run: Run | None = None
        self._cases: list[Written] = []

    def compose_body(self) -> ComposeResult:
        yield Static("", id="merged", markup=False)
        yield Static(_EMPTY, id="empty", markup=False)
        figures: DataTable[Text] = DataTable(id="figures", cursor_type="row", fixed_columns=1)
        yield figures
        with Horizontal(id="reports"):
            cases: DataTable[Text] = DataTable(id="cases", cursor_type="row")
            yield cases
            with Horizontal(id="texts"):
                for model in MODELS:
                    with VerticalScroll(id=model):
                        yield Static("", id=f"{model}-text", markup=False)

    def on_mount(self) -> None:
        self.query_one("#figures", DataTable).add_columns("", *MODELS)
        self.query_one("#cases", DataTable).add_columns("Case", *MODELS)
        self._show_figures(None)
        super().on_mount()

    def show_result(self, stage: str, run: Run, result: dict[str, Any] | None) -> None:
        if stage == "merge":
            words = f"merged: {one_line(result.get('summary', ''))}" if result else ""
            self.query_one("#merged", Static).update(words)
            return
        self._run = run if result is not None else None
        self._show_figures(result)
        self._show_cases([])
        if self._run is None:
            return

        def show(cases: list[Written]) -> None:
            if self._run is run:  # else another evaluation is shown by now
                self._show_cases(cases)

        read_off_loop(self, lambda: written_cases(run.artifacts / "generations.jsonl"), show)

    def _show_figures(self, result: dict[str, Any] | None) -> None:
        table = self.query_one("#figures", DataTable)
        table.clear()
        for title, base, tuned in figure_rows(result) if result else []:
            style = "bold" if not (base or tuned) else ""
            table.add_row(Text(title, style=style), Text(base), Text(tuned))
        self.set_class(result is None, "-empty")

    def _show_cases(self, cases: list[Written]) -> None:
        self._cases = cases
        table = self.query_one("#cases", DataTable)
        table.clear()
        for written in cases:
            marks = [Text(mark(written.get(model))) for model in MODELS]
            table.add_row(Text(_case_id(written)), *marks)
        self._show_reports()

    @on(DataTable.RowHighlighted, "#cases")
    def _show_reports(self) -> None:
        row = self.query_one("#cases", DataTable).cursor_row
        written = self._cases[row] if row < len(self._cases) else {}
        for model in MODELS:
            shown = report_text(model, written.get(model))
            self.query_one(f"#{model}-text", Static).update(shown)
            self.query_one(f"#{model}").scroll_home(animate=False)

    def action_change_view(self) -> None:
        self.toggle_class("-reports")
        self.query_one("#cases" if self.has_class("-reports") else "#figures").focus()


def figure_rows(result: dict[str, Any]) -> list[tuple[str, str, str]]:
    """The evaluation's Result as rows: measure, base, tuned. A group's name stands alone."""
    models = list(models_of(result).values())
    if not models:
        return []
    base, tuned = models[0], models[-1]
    rows = []
    for group, of_base in base["groups"].items():
        of_tuned = tuned["groups"].get(group, {})
        rows.append((f"{one_line(group)} ({of_base.get('cases', 0)} cases)", "", ""))
        rows += [
            (f"  {title}", rate(of_base.get(key)), rate(of_tuned.get(key)))
            for key, title in _RATES
        ]
        rows.append(("  mean length", _length(of_base), _length(of_tuned)))
    rows.append(("tokens per second", _speed(base), _speed(tuned)))
    return rows


def rate(of: dict[str, Any] | None) -> str:
    """{"hits", "total"} as a percentage with its counts."""
    if not of or not of.get("total"):
        return "–"
    return f"{of['hits'] / of['total']:4.0%}  {of['hits']}/{of['total']}"


def _length(group: dict[str, Any]) -> str:
    return f"{group.get('mean_tokens', 0):.0f} tokens"


def _speed(model: dict[str, Any]) -> str:
    speed = model.get("tokens_per_second")
    return f"{speed:,.0f}" if speed else "–"


def written_cases(path: Path) -> list[Written]:
    """What was written for each case, in the order of the file, at most MAX_CASES of them.

    Raises OSError, and ValueError for a line that is no JSON.
    """
    cases: dict[str, Written] = {}
    with path.open(encoding="utf-8") as lines:
        for line in islice(lines, 2 * MAX_CASES + 2):
            made = json.loads(line)
            if len(cases) < MAX_CASES or made["case"] in cases:
                cases.setdefault(made["case"], {})[made["model"]] = made
    return list(cases.values())


def mark(made: dict[str, Any] | None) -> str:
    """Whether the report is complete, and its levels right of those asked for."""
    if made is None:
        return "–"
    score = made.get("score", {})
    traits = score.get("traits", {}).values()
    right = sum(one["found"] == one["expected"] for one in traits)
    return f"{'✓' if score.get('complete') else '✗'} {right}/{len(traits)}"


def report_text(model: str, made: dict[str, Any] | None) -> Text:
    """A written report under its score, and its levels."""
    text = Text(model, style="bold")
    if made is None:
        return text
    score = made.get("score", {})
    complete = "complete" if score.get("complete") else "incomplete"
    ended = "stopped by itself" if made.get("stopped") else "cut at the limit"
    text.append(f"  {complete}, {made.get('tokens', 0)} tokens, {ended}", "not bold")
    written = plain(str(made.get("text", ""))[:_MAX_CHARACTERS])
    text.append(f"\n\n{written or '(nothing)'}\n", "not bold")
    traits = score.get("traits", {})
    for trait in TRAITS:
        if trait.key in traits:
            text.append(f"\n{_level(trait.korean, traits[trait.key])}", "not bold")
    return text


def _level(trait: str, one: dict[str, Any]) -> str:
    expected, found = one_line(one["expected"]), one["found"]
    if found == one["expected"]:
        return f"✓ {trait} {expected}"
    return f"✗ {trait} {one_line(found) if found else 'no level'}, expected {expected}"


def _case_id(written: Written) -> str:
    return one_line(next(iter(written.values()))["case"])
