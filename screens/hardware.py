"""The Hardware screen: what this machine can do, and what it is doing."""

from __future__ import annotations

import threading
from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rich.text import Text
from textual import events, on
from textual.app import ComposeResult
from textual.message import Message
from textual.widgets import Static

from haruon_tui.screens.actions import Mode, bindings
from haruon_tui.screens.engine import parts
from haruon_tui.screens.plain_text import one_line, plain
from haruon_tui.screens.stage_screen import StageScreen
from haruon_tui.screens.widgets.measured import measured_text
from haruon_tui.screens.widgets.monitor_strip import MonitorStrip
from haruon_tui.styles import stylesheet

if TYPE_CHECKING:
    from haruon_tui.hardware.row import Row
    from haruon_tui.screens.history import History
    from haruon_tui.screens.session import Session

MARKS = {"ok": "✓ ok", "warning": "! warning", "fails": "✗ fails", "not applicable": "– n/a"}
WIDE = 120
"""From this many columns on, every column is there."""

_COLUMNS = ("Verdict", "Check", "Found", "Needed", "What to do")


class HardwareScreen(StageScreen):
    """The checks are made anew whenever the screen is opened, for this terminal; the stage's job
    makes them for the record. They are made in a thread of their own, which never holds up
    quitting."""

    CSS_PATH = stylesheet("hardware")
    BINDINGS = bindings("hardware", "stage", "job")

    class Checked(Message):
        """The machine was looked at."""

        def __init__(
            self, profile: str = "", rows: list[Row] | None = None, problem: str = ""
        ) -> None:
            super().__init__()
            self.profile = profile
            self.rows = rows or []
            self.problem = problem

    def __init__(self, mode: Mode, session: Session) -> None:
        super().__init__(mode, session)
        self._rows: list[Row] = []
        self._profile = self._at = ""  # that the rows are for, and when they were had
        self._opened = self._checking = False
        self._shown: list[Row] = []  # in the table's order
        self._attention = self._worst_first = False
        self._copied = ("", -1)  # row, and which of its commands
        self._table: Any = None

    def compose_body(self) -> ComposeResult:
        yield MonitorStrip(id="monitor")
        yield Static("Checking this machine …", id="checked", markup=False)
        yield Static("", id="row", markup=False)
        yield Static("", id="measured", markup=False)

    def overview_changed(self) -> None:
        super().overview_changed()
        self._show_measured()
        profile = self.session.overview.profile
        if self.session.ready and (not self._opened or profile not in ("", self._profile)):
            self._opened = True
            self._check()

    def job(self) -> History | None:
        """The newer of the check's and the self-test's runs."""
        check, test = super().job(), self._self_test()
        if test is None or (check and check.run.id > test.run.id and not test.active):
            return check
        return test

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "measure":
            return None if self.session.active("selftest") else True
        if action in ("attention", "order", "copy"):
            return None if self._table is None or self.has_class("-measured") else True
        return super().check_action(action, parameters)

    def _self_test(self) -> History | None:
        """The newest self-test of this workspace."""
        if active := self.session.active("selftest"):
            return active
        runs = [row.run for row in self.session.overview.runs if row.stage == "selftest"]
        return self.session.history(max(runs, key=lambda run: run.id, default=None))

    def _show_measured(self) -> None:
        """The figures of the newest self-test that has any."""
        done = [
            row
            for row in self.session.overview.runs
            if row.stage == "selftest" and row.status.result
        ]
        newest = max(done, key=lambda row: row.run.id, default=None)
        result = newest.status.result if newest else None
        text = measured_text(result, f"in {newest.run.id}" if newest else "")
        if newest is None and self.session.active("selftest"):
            text = Text("Measuring: the figures stand here when all are had.")
        self.query_one("#measured", Static).update(text)

    def load_sampled(self) -> None:
        super().load_sampled()
        self.query_one(MonitorStrip).show(list(self.session.load.samples))

    def action_check(self) -> None:
        self._check()

    def action_attention(self) -> None:
        self._attention = not self._attention
        self._summarize()
        self._fill()

    def action_order(self) -> None:
        self._worst_first = not self._worst_first
        self._fill()

    def action_copy(self) -> None:
        """Put what the chosen row asks for on the clipboard, one command or key at a time."""
        row = self._chosen()
        lines = [*row.commands, *row.settings] if row else []
        if row is None or not lines:
            self.notify("this row asks for nothing", markup=False)
            return
        key, number = self._copied
        number = (number + 1) % len(lines) if key == row.key else 0
        self._copied = (row.key, number)
        self.app.copy_to_clipboard(lines[number])
        self.notify(f"copied ({number + 1} of {len(lines)}): {lines[number]}", markup=False)

    def action_measure(self) -> None:
        self.set_class(True, "-measured")
        self.session.self_test()

    def action_change_view(self) -> None:
        self.toggle_class("-measured")
        self._show_measured()

    def action_choose_gpus(self) -> None:
        from haruon_tui.screens.device_choice import DeviceChoiceScreen

        def chosen(gpus: list[int] | str | None) -> None:
            if gpus is not None:
                self.session.set_keys({"hardware.gpus": gpus})

        self.app.push_screen(DeviceChoiceScreen(self.session.workspace), chosen)

    # Off the event loop

    def _look(self) -> None:
        from haruon_tui.hardware import checks

        workspace = self.session.workspace
        try:
            settings = workspace.settings
            rows = checks.check_machine(settings, workspace.folder)
        except Exception as error:  # noqa: BLE001 - the screen must say it
            self.post_message(self.Checked(problem=parts(error)["what"]))
        else:
            self.post_message(self.Checked(settings.profile, rows))

    # On it

    def _check(self) -> None:
        if self._checking:
            return
        self._checking = True
        self.query_one("#checked", Static).update("Checking this machine …")
        threading.Thread(target=self._look, name="check", daemon=True).start()

    @on(Checked)
    async def _show_rows(self, message: Checked) -> None:
        self._checking = False
        if not all(body.is_attached for body in self.query("#body")):
            return  # the program is quitting
        if message.problem:
            self.query_one("#checked", Static).update(f"✗ {plain(message.problem)}")
            return
        self._rows, self._profile = message.rows, message.profile
        self._at = datetime.now().astimezone().strftime("%H:%M:%S")
        self._summarize()
        if self._table is None:
            from textual.widgets import DataTable  # costs the first frame too much

            self._table = DataTable(id="checks", cursor_type="row")
            await self.query_one("#body").mount(self._table, after="#checked")
            self._table.focus()
        self._fill()
        self.refresh_bindings()

    def _summarize(self) -> None:
        if not self._rows:
            return
        summary = f"{verdicts(self._rows)}, for {self._profile} at {self._at}"
        summary += "; problems only" if self._attention else ""
        self.query_one("#checked", Static).update(summary)

    @on(events.Resize)
    def _resized(self) -> None:
        if self._table is not None:
            self._fill()

    def _fill(self) -> None:
        """Make the table anew, with the columns that there is room for, the cursor on the row
        that needs a look most."""
        table = self._table
        if table is None:
            return
        chosen = self._chosen()
        self._shown = ordered(self._rows, attention=self._attention, worst_first=self._worst_first)
        table.clear(columns=True)
        widths = column_widths(self.size.width)
        for name, cells in zip(_COLUMNS, widths, strict=False):
            table.add_column(name, width=cells)
        for row in self._shown:
            table.add_row(*row_cells(row)[: len(widths)])
        places = [at for at, row in enumerate(self._shown) if chosen and row.key == chosen.key]
        table.move_cursor(row=places[0] if places else worst(self._shown))
        self._explain()

    def _explain(self) -> None:
        """Say all there is to say of the chosen row."""
        row = self._chosen()
        apart = "\n  " if self.size.width >= WIDE else "  "
        words = explanation(row, apart) if row else Text("No problem was found.")
        self.query_one("#row", Static).update(words)

    def _chosen(self) -> Row | None:
        at = self._table.cursor_row if self._table is not None else -1
        return self._shown[at] if 0 <= at < len(self._shown) else None

    def on_data_table_row_highlighted(self) -> None:
        self._explain()


def column_widths(room: int) -> list[int]:
    """Cells of each column that fits into a screen `room` cells wide; the row in full is below."""
    fixed = [9, 23]
    shown = len(_COLUMNS) if room >= WIDE else 3
    rest = room - sum(fixed) - 2 * shown - 4  # padding of the cells, of the body, the scroll bar
    return [*fixed, rest] if shown == 3 else [*fixed, *(rest * n // 100 for n in (40, 22, 38))]


def verdicts(rows: list[Row]) -> str:
    """How many rows have each verdict, the bad ones first."""
    counts = Counter[str](row.verdict for row in rows)
    order = ("fails", "warning", "ok", "not applicable")
    words = {"not applicable": "n/a"}
    return ", ".join(
        f"{counts[verdict]} {words.get(verdict, verdict)}" for verdict in order if counts[verdict]
    )


def worst(rows: list[Row]) -> int:
    """The place of the first row that fails, else of the first warning, else the first."""
    for verdict in ("fails", "warning"):
        for place, row in enumerate(rows):
            if row.verdict == verdict:
                return place
    return 0


def ordered(rows: list[Row], *, attention: bool, worst_first: bool) -> list[Row]:
    """The rows to show: all by topic, or those that need attention, or the worst first."""
    wanting = ("fails", "warning")
    shown = [row for row in rows if not attention or row.verdict in wanting]
    if worst_first:
        order = ("fails", "warning", "ok", "not applicable")
        shown.sort(key=lambda row: order.index(row.verdict))
    return shown


def row_cells(row: Row) -> tuple[Text, ...]:
    """Verdict, title, found, needed, what to do; a row that is not well stands out."""
    style = "bold" if row.verdict in ("warning", "fails") else ""
    words = (MARKS[row.verdict], row.title, row.found, row.needed, row.do)
    return tuple(Text(one_line(word), style=style) for word in words)


def explanation(row: Row, apart: str = "  ") -> Text:
    """One row in full; `apart` stands before each of its parts."""
    text = Text(f"{MARKS[row.verdict]}  {one_line(row.title)}", style="bold")
    for label, value in (("found", row.found), ("needed", row.needed), ("do this", row.do)):
        if value:
            text.append(f"{apart}{label}: ", style="not bold dim")
            text.append(one_line(value), style="not bold")
    return text
