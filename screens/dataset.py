"""The Dataset screen: what the checks found, and a reader of the examples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.cells import cell_len, set_cell_size
from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, VerticalScroll
from textual.widgets import DataTable, Static

from haruon_tui.dataset.persona import LEVELS, TRAITS
from haruon_tui.screens.actions import Mode, bindings
from haruon_tui.screens.plain_text import one_line, plain
from haruon_tui.screens.reading import Page, read_json, read_off_loop, read_page
from haruon_tui.screens.stage_screen import StageScreen
from haruon_tui.styles import stylesheet

if TYPE_CHECKING:
    from haruon_tui.jobs.store import Run
    from haruon_tui.screens.session import Session

_MAX_CHARACTERS = 20_000
_EMPTY = "No dataset yet: press r to build one."


class DatasetScreen(StageScreen):
    """The checks above, the examples below; one of them at a time where there is little room."""

    CSS_PATH = stylesheet("dataset")
    BINDINGS = bindings("dataset", "stage", "job")

    def __init__(self, mode: Mode, session: Session) -> None:
        super().__init__(mode, session)
        self._run: Run | None = None
        self._page = Page(1, 0, None, ())
        self._pages_before: list[Page] = []

    def compose_body(self) -> ComposeResult:
        with VerticalScroll(id="checks"):
            yield Static(_EMPTY, id="checks-text", markup=False)
        with Horizontal(id="examples"):
            table: DataTable[Text] = DataTable(id="list", cursor_type="row")
            yield table
            with VerticalScroll(id="reader"):
                yield Static("", id="example", markup=False)

    def on_mount(self) -> None:
        self._table.add_columns("#", "Id")
        super().on_mount()

    @property
    def _table(self) -> DataTable[Text]:
        return self.query_one("#list", DataTable)

    def show_result(self, stage: str, run: Run, result: dict[str, Any] | None) -> None:
        self._run = run if result is not None else None
        self._pages_before = []
        self._show_checks(None)
        self._show_page(Page(1, 0, None, ()))
        if self._run is None:
            return
        folder = run.artifacts
        read_off_loop(self, lambda: read_json(folder / "validation.json"), self._show_checks)
        self._read(0, 1)

    def _read(self, start: int, first: int) -> None:
        run = self._run
        if run is None:
            return

        def show(page: Page) -> None:
            if self._run is run:  # else another dataset is shown by now
                self._show_page(page)

        read_off_loop(self, lambda: read_page(run.artifacts / "train.jsonl", start, first), show)

    def _show_checks(self, validation: dict[str, Any] | None) -> None:
        shown = checks_text(validation) if validation is not None else Text(_EMPTY)
        self.query_one("#checks-text", Static).update(shown)

    def _show_page(self, page: Page) -> None:
        self._page = page
        self._table.clear()
        for number, record in enumerate(page.items, start=page.first):
            self._table.add_row(Text(str(number)), Text(_id(record)))
        self._show_example()
        self.refresh_bindings()

    @on(DataTable.RowHighlighted)
    def _show_example(self) -> None:
        row = self._table.cursor_row
        chosen = self._page.items[row] if row < len(self._page.items) else None
        shown = example_text(chosen) if self._page.items else Text("No examples yet.")
        self.query_one("#example", Static).update(shown)
        self.query_one("#reader").scroll_home(animate=False)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "next_page":
            return True if self._page.next is not None else None
        if action == "previous_page":
            return True if self._pages_before else None
        return super().check_action(action, parameters)

    def action_change_view(self) -> None:
        self.toggle_class("-examples")
        wanted = "#list" if self.has_class("-examples") else "#checks"
        self.query_one(wanted).focus()

    def action_next_page(self) -> None:
        if self._page.next is not None:
            self._pages_before.append(self._page)
            self._read(self._page.next, self._page.first + len(self._page.items))

    def action_previous_page(self) -> None:
        if self._pages_before:
            before = self._pages_before.pop()
            self._read(before.start, before.first)


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


def example_text(record: dict[str, Any] | None) -> Text:
    """A record in full: its levels, then every message under its role."""
    if record is None:
        return Text("This line is no record.")
    metadata = record.get("metadata") or {}
    text = Text(f"{_id(record)}  {one_line(metadata.get('source', ''))}", style="bold")
    levels = metadata.get("levels") or {}
    named = ", ".join(
        f"{trait.korean} {one_line(levels[trait.key])}" for trait in TRAITS if trait.key in levels
    )
    text.append(f"\n{named}", "not bold")
    for message in record.get("messages") or []:
        text.append(f"\n\n{one_line(message.get('role', '?'))}\n", "bold")
        content = str(message.get("content", ""))
        text.append(plain(content[:_MAX_CHARACTERS]), "not bold")
        if len(content) > _MAX_CHARACTERS:
            text.append(f"\n… {len(content) - _MAX_CHARACTERS} characters more", "not bold")
    return text


def _id(record: dict[str, Any] | None) -> str:
    if record is None:
        return "(no record)"
    return one_line((record.get("metadata") or {}).get("id", ""))
