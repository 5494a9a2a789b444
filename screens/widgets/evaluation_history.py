"""The evaluations of a workspace as a table, and what got better and worse between two of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.message import Message
from textual.widget import Widget
from textual.widgets import DataTable, Static

from haruon_tui.evaluation import results
from haruon_tui.evaluation.figures import FIGURES, written
from haruon_tui.screens.evaluation_texts import difference_text
from haruon_tui.screens.plain_text import one_line
from haruon_tui.screens.reading import read_off_loop

if TYPE_CHECKING:
    from collections.abc import Collection

    from haruon_tui.evaluation.difference import Difference
    from haruon_tui.evaluation.history import Row
    from haruon_tui.workspace import Workspace

_NONE = "No evaluation has finished yet."
_HINT = "Enter: show this run; space: compare the others with this one."


class EvaluationHistory(Widget):
    """The row at the cursor is compared with the marked one, else with the same model's
    evaluation before it."""

    class Chosen(Message):
        """An evaluation and a model of it are to be shown."""

        def __init__(self, row: Row) -> None:
            super().__init__()
            self.row = row

    def __init__(self, workspace: Workspace, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._workspace = workspace
        self._rows: list[Row] = []
        self._marked: Row | None = None
        self._compared: tuple[Row, Row] | None = None

    def compose(self) -> ComposeResult:
        runs: DataTable[Text] = DataTable(id="runs", cursor_type="row", fixed_columns=2)
        yield runs
        with VerticalScroll(id="difference"):
            yield Static(_NONE, id="difference-text", markup=False)

    def on_mount(self) -> None:
        self.table.add_columns("run", "model", *(one.short for one in FIGURES), "")

    @property
    def table(self) -> DataTable[Text]:
        return self.query_one("#runs", DataTable)

    def read(self, current: Collection[str]) -> None:
        """Read the runs again; `current` are the ids of those whose results hold today."""
        from haruon_tui.evaluation.history import rows
        from haruon_tui.jobs.store import Store

        runs = self._workspace.runs
        read_off_loop(self, lambda: list(rows(Store(runs), current)), self._show)

    def mark(self) -> None:
        """Compare every other row with the one at the cursor, or no longer."""
        if row := self._at_cursor():
            self._marked = None if row == self._marked else row
            self._show(self._rows)

    def _at_cursor(self) -> Row | None:
        at = self.table.cursor_row
        return self._rows[at] if at < len(self._rows) else None

    def _show(self, found: list[Row]) -> None:
        at = self.table.cursor_row
        self._rows = found
        self.table.clear()
        for row in found:
            sign = "● " if row == self._marked else ""
            cells = [written(one.key, row.figures[one.key]) for one in FIGURES]
            names = (f"{sign}{row.when} {row.run[-4:]}", one_line(row.model))
            stale = "stale" if row.stale else ""
            self.table.add_row(*map(Text, (*names, *cells, stale)))
        self.table.move_cursor(row=min(at, max(0, len(found) - 1)))
        self._compare()

    @on(DataTable.RowHighlighted)
    def _compare(self) -> None:
        after = self._at_cursor()
        if after is None:
            return
        earlier = self._rows[self._rows.index(after) + 1 :]
        same = (row for row in earlier if row.model == after.model)
        before = self._marked or next(same, None)
        text = self.query_one("#difference-text", Static)
        if before is None or before == after:
            self._compared = None
            first = f"The first evaluation of {one_line(after.model)}. {_HINT}"
            text.update("Move to another run to compare it with this one." if before else first)
            return
        self._compared = pair = (before, after)

        def read() -> Difference:
            from haruon_tui.evaluation.difference import compare

            old, new = (
                results.of_model(
                    results.read_lines(self._workspace.runs / row.run / "artifacts"), row.model
                )
                for row in pair
            )
            return compare(old, new, self._workspace.settings.evaluate.seed)

        def show(found: Difference) -> None:
            if self._compared == pair:  # else the cursor is elsewhere by now
                text.update(difference_text(found, *(f"{r.when} {r.model}" for r in pair)))

        read_off_loop(self, read, show)

    @on(DataTable.RowSelected)
    def _choose(self) -> None:
        if row := self._at_cursor():
            self.post_message(self.Chosen(row))
