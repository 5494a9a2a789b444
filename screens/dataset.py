"""The Dataset screen: builds the dataset and shows what the checks found."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len, set_cell_size
from rich.text import Text
from textual.app import ComposeResult
from textual.widgets import Static

from haruon_tui.dataset.persona import LEVELS, TRAITS
from haruon_tui.screens.actions import Mode, bindings
from haruon_tui.screens.dataset_files import BUILT, choose_file
from haruon_tui.screens.plain_text import one_line
from haruon_tui.screens.reading import read_json, read_off_loop
from haruon_tui.screens.stage_screen import StageScreen
from haruon_tui.styles import stylesheet

if TYPE_CHECKING:
    from haruon_tui.jobs.store import Run
    from haruon_tui.screens.session import Session

_EMPTY = "No dataset yet: press r to build one, or b to browse any JSONL file."


class DatasetScreen(StageScreen):
    """Builds the dataset and shows what the checks found; the browser shows the examples."""

    CSS_PATH = stylesheet("dataset")
    BINDINGS = bindings("dataset", "stage", "job")

    def __init__(self, mode: Mode, session: Session) -> None:
        super().__init__(mode, session)
        self._run: Run | None = None

    def compose_body(self) -> ComposeResult:
        yield Static(_EMPTY, id="checks-text", markup=False)

    def show_result(self, stage: str, run: Run, result: dict[str, Any] | None) -> None:
        self._run = run if result is not None else None
        self._show_checks(None)
        self.refresh_bindings()
        if self._run is not None:
            folder = run.artifacts
            read_off_loop(self, lambda: read_json(folder / "validation.json"), self._show_checks)

    def _show_checks(self, validation: dict[str, Any] | None) -> None:
        shown = Text(_EMPTY) if validation is None else checks_text(validation)
        self.query_one("#checks-text", Static).update(shown)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "browse_built":
            return True if self._run is not None else None
        return super().check_action(action, parameters)

    def action_browse(self) -> None:
        choose_file(self, self.session, self._browse)

    def action_browse_built(self) -> None:
        if self._run is not None:
            self._browse(self._run.artifacts / BUILT[0])

    def action_generate(self) -> None:
        from haruon_tui.screens.generate import GenerateScreen

        self.app.push_screen(GenerateScreen(self.session))

    def _browse(self, path: Path) -> None:
        from haruon_tui.screens.dataset_browser import DatasetBrowser

        self.app.push_screen(DatasetBrowser(self.session, path))


def checks_text(validation: dict[str, Any]) -> Text:
    """validation.json as counts, findings per rule and the table of levels."""
    sources = validation.get("sources", {})
    valid = sum(sources.values())
    text = Text(
        f"{valid} valid, {validation.get('left_out', 0)} left out, "
        f"{validation.get('warnings', 0)} warnings under the rule set "
        f"{one_line(validation.get('rule_set', '?'))}",
        style="bold",
    )
    counts = f"\n{validation.get('train', 0)} to train on, {validation.get('eval', 0)} to measure"
    text.append(f"{counts} the loss, {validation.get('cases', 0)} evaluation cases", "not bold")
    named = ", ".join(f"{one_line(name)} {count}" for name, count in sources.items())
    text.append(f"\nsources: {named or 'none'}", "not bold")
    for file in validation.get("files", []):
        text.append(
            f"\n{one_line(file.get('path'))}: {file.get('valid', 0)} valid, "
            f"{file.get('invalid', 0)} invalid, {file.get('used', 0)} used",
            "not bold",
        )
    text.append(_findings(validation.get("findings", {})), "not bold")
    text.append(_levels(validation.get("levels", {})), "not bold")
    return text


def _findings(findings: dict[str, Any]) -> str:
    if not findings:
        return "\nfindings: none"
    lines = [
        f"\n  {found.get('count', 0):>6}  {one_line(found.get('severity'))}  {one_line(rule)}"
        for rule, found in findings.items()
    ]
    return "\nfindings per rule:" + "".join(lines)


def _levels(levels: dict[str, dict[str, int]]) -> str:
    """Reports per trait and level: seven columns that fit 78 cells."""
    if not levels:
        return ""
    width = max(map(cell_len, LEVELS)) + 1
    lines = ["\n\n" + " " * 7 + "".join(_right(level, width) for level in LEVELS)]
    for trait in TRAITS:
        counts = levels.get(trait.key, {})
        cells = "".join(_right(str(counts.get(level, 0)), width) for level in LEVELS)
        lines.append("\n" + set_cell_size(trait.korean, 7) + cells)
    return "".join(lines)


def _right(text: str, cells: int) -> str:
    return " " * max(0, cells - cell_len(text)) + text
