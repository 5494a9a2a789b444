"""The GGUF screen: the files as they are made, what was measured of each, and the proof."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, VerticalScroll
from textual.widgets import DataTable, Static

from haruon_tui.comparison import columns as columns_of
from haruon_tui.comparison.choice import divergence, pareto
from haruon_tui.comparison.phone import Phones
from haruon_tui.screens.actions import Mode, bindings
from haruon_tui.screens.comparison_texts import choice_text, phone_text, proof_text
from haruon_tui.screens.gguf_files import Files, read_files
from haruon_tui.screens.reading import read_off_loop
from haruon_tui.screens.stage_screen import StageScreen
from haruon_tui.screens.widgets.comparison_table import ComparisonTable
from haruon_tui.screens.widgets.scatter import Point, Scatter
from haruon_tui.styles import stylesheet

if TYPE_CHECKING:
    from pathlib import Path

    from haruon_tui.comparison.columns import Column
    from haruon_tui.comparison.export import Format
    from haruon_tui.jobs.events import Event
    from haruon_tui.jobs.store import Run
    from haruon_tui.planning import Step
    from haruon_tui.screens.history import History
    from haruon_tui.screens.session import Session

VIEWS = ("table", "picture", "phone")
"""Where there is little room, one of them is seen at a time."""

_EMPTY = "No GGUF file yet: convert makes the first. R runs every stage that is missing."
_NEWS = ("log", "artifact", "finished", "failed", "stopped")
_MOST_MARKED = 2


class GgufScreen(StageScreen):
    """A table of the files; which one to take; loss by size and the phone's limits; the proof."""

    CSS_PATH = stylesheet("gguf")
    BINDINGS = bindings("gguf", "stage", "job")

    def __init__(self, mode: Mode, session: Session) -> None:
        super().__init__(mode, session)
        self._folders: dict[str, Path] = {}
        self._reading = False
        self._read_again = False
        self._files = Files()
        self._phone: str | None = None
        self._sort = ("", False)
        self._shown: frozenset[str] | None = None
        self._marked: list[str] = []
        self._measured = ""

    def compose_body(self) -> ComposeResult:
        yield Static(_EMPTY, id="empty", markup=False)
        yield ComparisonTable(id="files")
        with VerticalScroll(id="choice"):
            yield Static("", id="choice-text", markup=False)
        with Horizontal(id="pictures"):
            yield Scatter(id="scatter")
            with VerticalScroll(id="phone"):
                yield Static("", id="phone-text", markup=False)
        with VerticalScroll(id="proof"):
            yield Static("", id="proof-text", markup=False)

    def on_mount(self) -> None:
        self.add_class("-table")
        self._show()

    # What is on the disk

    def show_plan(self, steps: dict[str, Step]) -> None:
        folders = {
            stage: run.folder for stage in self.mode.stages if (run := self._run(steps, stage))
        }
        if folders != self._folders:
            self._folders = folders
            self._read()

    def show_update(self, history: History, events: list[Event]) -> None:
        if history.stage == "compare":
            progress = history.status.progress if history.status and history.active else None
            measured = progress.phase.partition(":")[0] if progress else ""
            if measured != self._measured:
                self._measured = measured
                self._show()
        if any(event["kind"] in _NEWS for event in events):
            self._read()

    def show_result(self, stage: str, run: Run, result: dict[str, Any] | None) -> None:
        self._read()

    def _run(self, steps: dict[str, Step], stage: str) -> Run | None:
        """The run whose files are shown: what earlier settings made is not."""
        if active := self.session.active(stage):
            return active.run
        step = steps.get(stage)
        if step is None or step.state == "stale":
            return None
        return step.finished or step.latest

    def _read(self) -> None:
        """Read the files again; while that is under way, once more after it."""
        self._read_again = self._reading
        if self._reading:
            return
        self._reading = True
        folders = dict(self._folders)

        def show(files: Files) -> None:
            self._reading = False
            self._files = files
            self._show()
            if self._read_again:
                self._read()

        read_off_loop(self, lambda: read_files(folders), show)

    # What is shown

    @property
    def _table(self) -> ComparisonTable:
        return self.query_one("#files", ComparisonTable)

    def _known(self) -> Phones | None:
        """The phones' limits, the chosen phone as the target."""
        known = self._files.phones
        chosen = [one for one in known.phones if one.name == self._phone] if known else []
        return replace(known, target=chosen[0]) if known and chosen else known

    def _columns(self) -> tuple[Column, ...]:
        known = self._known()
        return columns_of.columns(known.target, known) if known else ()

    def _is_shown(self, column: Column) -> bool:
        if column.key == "type":
            return True
        return column.shown if self._shown is None else column.key in self._shown

    def _show(self) -> None:
        rows, known = self._files.rows, self._known()
        self.set_class(not rows and not self._files.proof, "-empty")
        self.set_class(
            not any("quality" in row or "buffers" in row for row in rows), "-unmeasured"
        )
        self.set_class(not rows, "-no-rows")
        self.query_one("#proof-text", Static).update(proof_text(self._files.proof))
        if known is None:
            return
        every = self._columns()
        key, reverse = self._sort
        by = next((column for column in every if column.key == key), None)
        self._table.show(
            columns_of.sort_rows(rows, by, reverse=reverse) if by else rows,
            [column for column in every if self._is_shown(column)],
            sorted_by=key,
            reverse=reverse,
            marked=self._marked,
            measured=self._measured,
        )
        self.query_one("#choice-text", Static).update(choice_text(rows, known))
        self.query_one("#phone-text", Static).update(phone_text(rows, known))
        self._show_scatter()
        self.refresh_bindings()

    @on(DataTable.RowHighlighted, "#files")
    def _show_scatter(self) -> None:
        rows, chosen = self._files.rows, self._table.file
        front = pareto(rows)
        self.query_one(Scatter).show(
            [
                Point(
                    row["bytes"],
                    loss,
                    str(row.get("type")),
                    best=row["file"] in front,
                    chosen=row["file"] == chosen,
                )
                for row in rows
                if (loss := divergence(row)) is not None
            ]
        )

    # Keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action in ("order", "choose_columns", "mark", "choose_phone", "write_out"):
            return True if self._files.rows else None
        if action == "side_by_side":
            return True if any(row.get("reports") for row in self._files.rows) else None
        if action == "change_view":
            return True if self.has_class("-short") or self.has_class("-narrow") else None
        return super().check_action(action, parameters)

    def action_change_view(self) -> None:
        at = next((at for at, name in enumerate(VIEWS) if self.has_class(f"-{name}")), 0)
        for name in VIEWS:
            self.set_class(name == VIEWS[(at + 1) % len(VIEWS)], f"-{name}")
        self.query_one("#phone" if self.has_class("-phone") else "#files").focus()

    def action_order(self) -> None:
        from haruon_tui.screens.pick import PickScreen

        columns = [column for column in self._columns() if self._is_shown(column)]
        choices = [("", "as they were made")]
        choices += [(column.key, f"{column.title:<10} {column.help}") for column in columns]
        self.app.push_screen(PickScreen("Order by", choices, "Again: turn it."), self._order)

    @on(DataTable.HeaderSelected, "#files")
    def _header_selected(self, event: DataTable.HeaderSelected) -> None:
        self._order(event.column_key.value)

    def _order(self, key: str | None) -> None:
        """By a column, the better end first; by the same one again, the other way."""
        if key is None:
            return
        before, reverse = self._sort
        column = next((one for one in self._columns() if one.key == key), None)
        better_first = column is not None and column.better == "high"
        self._sort = (key, not reverse if key == before and key else better_first)
        self._show()

    def action_choose_columns(self) -> None:
        from haruon_tui.screens.choose_columns import ChooseColumnsScreen

        def take(keys: frozenset[str] | None) -> None:
            if keys is not None:
                self._shown = keys
                self._show()

        every = self._columns()
        shown = {column.key for column in every if self._is_shown(column)}
        self.app.push_screen(ChooseColumnsScreen(every[1:], shown), take)

    def action_mark(self) -> None:
        file = self._table.file
        if file in self._marked:
            self._marked.remove(file)
        elif file is not None:
            self._marked = [*self._marked, file][-_MOST_MARKED:]
        self._show()

    @on(DataTable.RowSelected, "#files")
    def action_side_by_side(self) -> None:
        """The marked files; with fewer than two marks, the one at the cursor as well, and then
        the first one, which the others are compared with."""
        from haruon_tui.screens.side_by_side import SideBySideScreen, pairs

        rows = {row["file"]: row for row in self._files.rows}
        wanted = [*self._marked, self._table.file, *rows]
        chosen = [name for name in dict.fromkeys(wanted) if name in rows][:_MOST_MARKED]
        found = pairs(*(rows[name] for name in chosen)) if len(chosen) == _MOST_MARKED else []
        if not found:
            self.notify(
                "no two reports of one case yet: compare writes them (gguf.report_cases)",
                severity="warning",
            )
            return
        left, right = sorted(chosen, key=list(rows).index)
        found = pairs(rows[left], rows[right])
        self.app.push_screen(SideBySideScreen(rows[left], rows[right], found))

    def action_choose_phone(self) -> None:
        from haruon_tui.screens.pick import PickScreen

        known = self._known()
        if known is None:
            return

        def take(name: str | None) -> None:
            if name is not None:
                self._phone = name
                self._show()

        choices = [
            (one.name, f"{one.name:<14} {one.chip:<8} {one.memory_gb_per_s:g} GB/s")
            for one in known.phones
        ]
        self.app.push_screen(PickScreen("The phone whose limits count", choices), take)

    def action_write_out(self) -> None:
        from haruon_tui.screens.pick import PickScreen

        choices = [
            ("csv", "CSV: every figure, for a spreadsheet"),
            ("md", "Markdown: the table with its explanations"),
            ("json", "JSON: every figure and every report"),
        ]
        self.app.push_screen(PickScreen("Write the comparison as", choices), self._write_as)

    def _write_as(self, chosen: str | None) -> None:
        from haruon_tui.comparison.export import FORMATS

        form = next((form for form in FORMATS if form == chosen), None)
        if form is None:
            return
        path = self.session.workspace.folder / f"comparison.{form}"

        def look(there: bool) -> None:
            if not there:
                self._write(path, form)
                return
            from haruon_tui.screens.confirm import ConfirmScreen

            def answered(yes: bool | None) -> None:
                if yes:
                    self._write(path, form, over=True)

            self.app.push_screen(
                ConfirmScreen(f"Replace {path.name}?", f"{path} is there already.", "Replace it"),
                answered,
            )

        read_off_loop(self, path.exists, look)

    def _write(self, path: Path, form: Format, *, over: bool = False) -> None:
        rows, known = self._files.rows, self._known()
        if known is None:
            return

        def write() -> None:
            from haruon_tui.comparison import export

            export.write(rows, path, form, known, replace=over)

        def said(_: None) -> None:
            self.notify(f"written to {path}", markup=False)

        read_off_loop(self, write, said)
