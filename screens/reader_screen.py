"""A JSONL file as a table of records beside the one that is read: what the browser shows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Static

from haruon_tui.dataset.browser.search import Query
from haruon_tui.screens import browser_choices
from haruon_tui.screens.browser_lines import file_line, no_rows, state_line
from haruon_tui.screens.reader_link import Answer, Answered, ReaderLink, Said
from haruon_tui.screens.record_text import Shown, record_text
from haruon_tui.screens.widgets.error_panel import ErrorPanel
from haruon_tui.screens.widgets.key_line import KeyLine
from haruon_tui.screens.widgets.record_table import RecordTable

if TYPE_CHECKING:
    from haruon_tui.screens.session import Session

_SAME = ("line", "decision", "edited", "bytes", "revision")
"""A record in which these are as in its row is the one that is read already."""

_DEPENDENT = ("search", "next_hit", "clear_filter", "undo", "redo", "edit")
"""Keys that are dimmed while there is nothing for them to act on."""

Then = Callable[[Any], None]


class ReaderScreen(Screen[None]):
    """State is kept by the reader process; the screen knows what it shows."""

    covers = True

    def __init__(self, session: Session, path: Path) -> None:
        super().__init__()
        self._session = session
        self.path = path
        self._link = ReaderLink(self, session, path)
        self.status: Answer = {}
        self.failed = False
        """Whether the file could not be opened."""
        self._version = 0
        self.record: Answer | None = None
        self._findings: list[Answer] | None = None
        self._record_asked: int | None = None
        self.filter: browser_choices.Filter = {}
        self.sort: tuple[str, bool] = ("line", False)
        self._query: Query | None = None
        self._hit: Answer | None = None
        self._shown: Shown | None = None
        self._seek_when_found = False
        self._lines: dict[str, Content] = {}
        self._enabled: list[bool] = []

    def compose(self) -> ComposeResult:
        yield Static(id="file", markup=False)
        yield Static(id="state", markup=False)
        yield ErrorPanel(id="problem")
        with Horizontal(id="panes"):
            with VerticalScroll(id="left", can_focus=False):
                yield Static(id="head", markup=False)
                yield RecordTable(id="records")
            with VerticalScroll(id="reader"):
                yield Static(id="record", markup=False)
        yield KeyLine()

    @property
    def table(self) -> RecordTable:
        return self.query_one(RecordTable)

    def on_mount(self) -> None:
        self.table.focus()
        self._show_lines()
        self._link.open()

    def on_unmount(self) -> None:
        self._link.close()

    # Talking to the reader

    def _ask(self, do: str, then: Then | None = None, **asked: Any) -> None:
        """Ask the reader; `then` gets the value, an error is shown."""

        def answered(answer: Answer) -> None:
            if "error" in answer:
                if do == "record":
                    self._record_asked = None
                self._fail(answer["error"])
            elif then is not None:
                then(answer["ok"])

        self._link.ask(do, answered, **asked)

    @on(Answered)
    def _answered(self, message: Answered) -> None:
        message.then(message.answer)

    @on(Said)
    def _said(self, message: Said) -> None:
        event = message.event
        match event["event"]:
            case "first":
                if self.table.total == 0 and event["rows"]:
                    self.table.set_total(len(event["rows"]))
                    self.table.put(0, event["rows"])
                    self._show_lines()
            case "opened":
                self._opened(event)
            case "status":
                self._take_status(event)
            case "view":
                self._take_view(event["total"], event["version"])
            case "findings":
                if self.record is not None and event["line"] == self.record["line"]:
                    self._findings = event["findings"]
                    self._show_record(home=False)
            case "reopened":
                self.filter, self.sort, self._query, self._hit = {}, ("line", False), None, None
                self.record = self._record_asked = None
                self.notify("the file was replaced by another program: opened again")
            case "ended":
                self._fail(
                    {
                        "what": "the reader process ended",
                        "expected": event["words"],
                        "do": "open the file again: o",
                    }
                )
            case "failed":
                self._not_opened(event["error"])

    def _opened(self, event: Answer) -> None:
        if "error" in event:
            self._not_opened(event["error"])
        elif left := event["ok"]["edits_left_out"]:
            self.notify(
                f"{left} changes beside the file no longer fit its lines and are left out",
                severity="warning",
            )

    def _not_opened(self, error: dict[str, str]) -> None:
        self.failed = True
        self._fail(error)
        self._show_record()
        self._show_lines()

    def _take_status(self, status: Answer) -> None:
        before, self.status = self.status, status
        table = self.table
        if table.exact_tokens != status["exact"]:
            table.exact_tokens = status["exact"]
        if status["version"] != self._version:
            self._take_view(status["total"], status["version"])
        elif status["total"] != table.total and (status["indexed"] or not table.follows):
            table.set_total(status["total"])
        if before.get("checked") != status["checked"] or not before.get("lines"):
            table.ask_again()
        self._choose()
        search = status["search"]
        if search and self._seek_when_found and (search["count"] or search["done"]):
            self._seek_when_found = False
            self._seek(0)
        if search and search["done"] and search["problem"]:
            self._fail({"what": f"the search {search['problem']}"})
        self._show_lines()
        if not table.total and status["indexed"] and not before.get("indexed"):
            self._show_record()

    def _take_view(self, total: int, version: int, *, home: bool = False) -> None:
        """Other rows are shown: go to the first, or stay on the record that is read, if it is
        among them."""
        self._version = version
        table = self.table
        table.begin(total, 0 if home else min(table.cursor, max(0, total - 1)))
        self._record_asked = None
        if self.record is not None and not home:
            self._ask("place", self._take_place, line=self.record["line"])
        self._show_lines()
        if not total:
            self.record = None
            self._show_record()

    def _take_place(self, place: Answer) -> None:
        self.table.jump_to(place["position"])

    def _fail(self, error: dict[str, str] | None) -> None:
        self.query_one("#problem", ErrorPanel).show(error)

    # Table and record

    @on(RecordTable.Wanted)
    def _wanted(self, message: RecordTable.Wanted) -> None:
        self._ask_rows(message.first, message.count)

    def _ask_rows(self, first: int, count: int) -> None:
        def take(answer: Answer) -> None:
            if answer["version"] == self._version:
                self.table.put(answer["first"], answer["rows"])

        self._ask("rows", take, first=first, count=count)

    @on(RecordTable.Chosen)
    def _choose(self) -> None:
        """Read the record under the cursor, one at a time."""
        row = self.table.row(self.table.cursor)
        if row is None or self._record_asked is not None:
            return
        line = row["line"]
        if line >= self.status.get("lines", 0):
            return  # the reader has not come so far yet
        shown = self.record or {}
        if all(shown.get(key) == row.get(key) for key in _SAME):
            return
        self._record_asked = line

        def take(record: Answer) -> None:
            home = self.record is None or self.record["line"] != record["line"]
            self.record, self._findings, self._record_asked = record, None, None
            self._show_record(home=home)
            self._show_lines()
            self._choose()  # the cursor may have moved on

        self._ask("record", take, line=line)

    def _seek(self, step: int) -> None:
        """Go to the next hit (step 1), the one before (-1), or the one at the cursor (0)."""

        def take(hit: Answer) -> None:
            self._hit = hit
            if hit["position"] is not None:
                self.table.jump_to(hit["position"])
            self._show_lines()

        self._ask("seek", take, position=self.table.cursor, step=step)

    def _show_record(self, *, home: bool = True) -> None:
        shown = self.query_one("#record", Static)
        if self.record is None:
            self._shown = None
            shown.update(no_rows(self.status, self.filter, failed=self.failed))
        else:
            self._shown = record_text(self.record, self._findings, self._query)
            shown.update(self._shown.content)
        if home:
            hits = self._shown.hits if self._shown else []
            self._scroll_record_to(self._height_above(hits[0]) - 2 if hits else 0)

    def _height_above(self, character: int) -> int:
        """Lines of the record above the one that a character of it stands in."""
        if self._shown is None:
            return 0
        width = self.query_one("#record").size.width or self.size.width
        return self._shown.content[: character + 1].get_height({}, width) - 1

    def _scroll_record_to(self, y: int) -> None:
        reader = self.query_one("#reader")
        self.call_after_refresh(reader.scroll_to, y=max(0, y), animate=False)

    def _show_lines(self) -> None:
        """Show the lines above the table anew; those that say the same are left."""
        lines = {
            "#file": file_line(self.path, self.status, failed=self.failed),
            "#state": state_line(self.status, self.filter, self.sort, self._query, self._hit),
            "#head": Content(self.table.head()),
        }
        for place, line in lines.items():
            if self._lines.get(place) != line:
                self.query_one(place, Static).update(line, layout=False)
        self._lines = lines
        enabled = [bool(self.check_action(action, ())) for action in _DEPENDENT]
        if enabled != self._enabled:
            self._enabled = enabled
            self.refresh_bindings()
