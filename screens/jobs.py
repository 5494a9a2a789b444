"""The Jobs screen: every run of the workspace, newest first, and the log of the chosen one."""

from __future__ import annotations

import time
from datetime import datetime
from typing import TYPE_CHECKING

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.widgets import DataTable, Input, Static

from haruon_tui.screens.actions import Mode, bindings
from haruon_tui.screens.engine import MAX_ROWS, RunRow, ended
from haruon_tui.screens.history import duration
from haruon_tui.screens.plain_text import plain
from haruon_tui.screens.session_screen import SessionScreen
from haruon_tui.screens.stage_states import SYMBOLS
from haruon_tui.screens.widgets.error_panel import ErrorPanel
from haruon_tui.screens.widgets.job_panel import progress_bar
from haruon_tui.screens.widgets.log_view import LogView
from haruon_tui.styles import stylesheet

if TYPE_CHECKING:
    from haruon_tui.jobs.events import Event
    from haruon_tui.jobs.store import Status
    from haruon_tui.screens.history import History
    from haruon_tui.screens.session import Session

COLUMNS = ("Run", "State", "Progress", "Started", "Time")
_SYNC_SECONDS = 0.25
_EMPTY = "No job has run here yet: press 1 to check the machine, or R to run every stage."


class JobsScreen(SessionScreen):
    """A table above, the chosen run's log below."""

    CSS_PATH = stylesheet("jobs")
    BINDINGS = bindings("jobs", "job")

    def __init__(self, mode: Mode, session: Session) -> None:
        super().__init__(mode, session)
        self._shown: dict[str, tuple[str, ...]] = {}
        self._filter = ""

    def compose_mode(self) -> ComposeResult:
        yield ErrorPanel(id="problem")
        yield Input(placeholder="part of an id, stage or state; Enter keeps it", id="filter")
        yield Static(_EMPTY, id="empty", markup=False)
        table: DataTable[Text] = DataTable(id="runs", cursor_type="row", zebra_stripes=False)
        yield table
        yield ErrorPanel(id="error")
        yield LogView(id="log")

    def on_mount(self) -> None:
        self._table.add_columns(*[(name, name) for name in COLUMNS])
        self.set_focus(self._table)
        self.set_interval(_SYNC_SECONDS, self.query_one(LogView).sync)

    @property
    def _table(self) -> DataTable[Text]:
        return self.query_one("#runs", DataTable)

    def job(self) -> History | None:
        row = self._chosen()
        return self.session.history(row.run) if row else None

    def overview_changed(self) -> None:
        super().overview_changed()
        self.query_one("#problem", ErrorPanel).show(self.session.overview.problem)
        self._fill()

    def run_changed(self, history: History, events: list[Event]) -> None:
        super().run_changed(history, events)
        self.tick()
        self._show_chosen()

    def tick(self) -> None:
        for row in self._rows():
            if row.run.id in self._shown:
                self._update_row(row)

    def _rows(self) -> list[RunRow]:
        """The newest rows that the filter lets through."""
        words = self._filter.lower().split()
        rows = self.session.overview.runs[:MAX_ROWS]
        return [row for row in rows if all(word in _searched(row, self.session) for word in words)]

    def _chosen(self) -> RunRow | None:
        table = self._table
        if not table.row_count or not table.is_valid_row_index(table.cursor_row):
            return None
        key = table.coordinate_to_cell_key(table.cursor_coordinate).row_key.value
        return next((row for row in self.session.overview.runs if row.run.id == key), None)

    def _fill(self) -> None:
        """Make the table hold the rows; it is built anew only when runs came or went."""
        rows = self._rows()
        if [row.run.id for row in rows] != list(self._shown):
            chosen = self._chosen()
            at_top = self._table.cursor_row == 0
            self._table.clear()
            self._shown = {}
            for row in rows:
                cells = _cells(row, self.session)
                self._table.add_row(*map(Text, cells), key=row.run.id)
                self._shown[row.run.id] = cells
            if chosen and chosen.run.id in self._shown and not at_top:
                self._table.move_cursor(row=self._table.get_row_index(chosen.run.id))
        else:
            self.tick()
        self._table.display = bool(rows)
        empty = self.query_one("#empty", Static)
        empty.display = not rows
        empty.update(
            f"No run matches {self._filter!r}; Esc takes the filter away."
            if self.session.overview.runs
            else (_EMPTY if self.session.ready else "Looking at the workspace …")
        )
        self._show_chosen()

    def _update_row(self, row: RunRow) -> None:
        cells = _cells(row, self.session)
        before = self._shown[row.run.id]
        for column, cell, old in zip(COLUMNS, cells, before, strict=True):
            if cell != old:
                self._table.update_cell(row.run.id, column, Text(cell))
        self._shown[row.run.id] = cells

    def _show_chosen(self) -> None:
        job = self.job()
        self.query_one(LogView).show(job)
        error = job.status.error if job and job.status else None
        self.query_one("#error", ErrorPanel).show(error)
        self.refresh_bindings()

    @on(DataTable.RowHighlighted)
    def _highlighted(self) -> None:
        self._show_chosen()

    @on(DataTable.RowSelected)
    def _selected(self) -> None:
        self.action_log()

    @on(Input.Changed, "#filter")
    def _filter_changed(self, event: Input.Changed) -> None:
        self._filter = event.value
        self._fill()

    @on(Input.Submitted, "#filter")
    def _filter_kept(self) -> None:
        self.query_one("#filter").display = bool(self._filter)
        self.set_focus(self._table)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "remove":
            row = self._chosen() if self.is_mounted else None
            return True if row and not _status(row, self.session).state.active else None
        if action == "clear_filter":
            return bool(self._filter) or self.query_one("#filter").display
        return super().check_action(action, parameters)

    def action_filter(self) -> None:
        entry = self.query_one("#filter", Input)
        entry.display = True
        self.set_focus(entry)

    def action_clear_filter(self) -> None:
        entry = self.query_one("#filter", Input)
        entry.value = ""
        entry.display = False
        self.set_focus(self._table)

    def action_remove(self) -> None:
        row = self._chosen()
        if row is None:
            return
        if self.session.read_only:
            self.session.remove(row.run)  # which says why not
            return
        from haruon_tui.screens.confirm import ConfirmScreen

        def answered(yes: bool | None) -> None:
            if yes:
                self.session.remove(row.run)

        detail = "Its log and its artefacts are deleted. Stages that need them run again."
        question = f"Remove {row.run.id}?"
        self.app.push_screen(ConfirmScreen(question, detail, "Remove it"), answered)


def _status(row: RunRow, session: Session) -> Status:
    """The newest state known: of the run's news, else of the list."""
    history = session.histories.get(row.run.id)
    return history.status if history and history.status else row.status


def _searched(row: RunRow, session: Session) -> str:
    return f"{row.run.id} {row.stage} {_status(row, session).state}".lower()


def _cells(row: RunRow, session: Session) -> tuple[str, ...]:
    status = _status(row, session)
    progress = status.progress
    fraction = 1.0 if status.state == "finished" else progress.fraction if progress else 0.0
    begun = status.identity.started if status.identity else row.created
    end = ended(status) or time.time()
    started = datetime.fromtimestamp(row.created).astimezone()
    return (
        plain(row.run.id),
        f"{SYMBOLS[status.state]} {status.state}",
        f"{progress_bar(fraction, 8)} {fraction:4.0%}",
        started.strftime("%m-%d %H:%M"),
        duration(end - begun),
    )
