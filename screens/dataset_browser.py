"""The dataset browser: any JSONL file as a table of records beside the one that is read."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.screen import Screen
from textual.widgets import Static

from haruon_tui.dataset.browser.client import ReaderClient
from haruon_tui.dataset.browser.rows import first_rows, open_regular
from haruon_tui.dataset.browser.search import BadPattern, Query
from haruon_tui.screens import browser_choices
from haruon_tui.screens.actions import Scope, bindings
from haruon_tui.screens.browser_lines import file_line, no_rows, state_line
from haruon_tui.screens.engine import parts
from haruon_tui.screens.pick import PickScreen
from haruon_tui.screens.prompt import PromptScreen
from haruon_tui.screens.record_text import Shown, record_text
from haruon_tui.screens.widgets.error_panel import ErrorPanel
from haruon_tui.screens.widgets.key_line import KeyLine
from haruon_tui.screens.widgets.record_table import PAGE, RecordTable
from haruon_tui.styles import stylesheet

if TYPE_CHECKING:
    from haruon_tui.screens.session import Session

_DEPENDENT = ("next_hit", "clear_filter", "undo", "redo", "edit")
"""Keys that are dimmed while there is nothing for them to act on."""

Answer = dict[str, Any]
Then = Callable[[Any], None]


class Said(Message):
    """The reader says something unasked, or the first rows were read."""

    def __init__(self, event: Answer) -> None:
        super().__init__()
        self.event = event


class Answered(Message):
    """The reader answers what `then` waits for."""

    def __init__(self, then: Callable[[Answer], None], answer: Answer) -> None:
        super().__init__()
        self.then = then
        self.answer = answer


class DatasetBrowser(Screen[None]):
    """State is kept by the reader process; the screen knows what it shows."""

    CSS_PATH = stylesheet("dataset_browser")
    BINDINGS = bindings("browser")
    covers = True
    scopes: ClassVar[tuple[Scope, ...]] = ("browser",)

    def __init__(self, session: Session, path: Path) -> None:
        super().__init__()
        self._session = session
        self.path = path
        self._client: ReaderClient | None = None
        self._closed = False
        self.status: Answer = {}
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
        threading.Thread(target=self._start, name="opening a dataset", daemon=True).start()

    def on_unmount(self) -> None:
        self._closed = True
        if self._client is not None:
            self._client.close()

    # Talking to the reader

    def _start(self) -> None:
        """In a thread: the first rows at once, then the reader, then what it checks by."""
        with contextlib.suppress(RuntimeError):  # the event loop is gone
            try:
                self.post_message(Said({"event": "first", "rows": _first_rows(self.path)}))
                client = ReaderClient(
                    self.path,
                    lambda event: _post(self, Said(event)),
                    lambda then, answer: _post(self, Answered(then, answer)),
                )
            except Exception as error:  # noqa: BLE001 - whatever is wrong, the screen must say it
                self.post_message(Said({"event": "failed", "error": parts(error)}))
                return
            self._client = client
            if self._closed:
                client.close()
                return
            rules, tokenizer = _checked_by(self._session)
            client.ask("configure", lambda answer: None, rules=rules, tokenizer=tokenizer)

    def _ask(self, do: str, then: Then | None = None, **asked: Any) -> None:
        """Ask the reader; `then` gets the value, an error is shown."""

        def answered(answer: Answer) -> None:
            if "error" in answer:
                if do == "record":
                    self._record_asked = None
                self._fail(answer["error"])
            elif then is not None:
                then(answer["ok"])

        if self._client is not None:
            self._client.ask(do, answered, **asked)

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
                self._record_asked = None
                self.notify("the file was replaced by another program: opened again")
            case "ended":
                self._fail(
                    {
                        "what": "the reader process ended",
                        "expected": event["words"],
                        "do": "open the file again: Escape, then b",
                    }
                )
            case "failed":
                self._fail(event["error"])

    def _opened(self, event: Answer) -> None:
        if "error" in event:
            self._fail(event["error"])
        elif left := event["ok"]["edits_left_out"]:
            self.notify(
                f"{left} changes beside the file no longer fit its lines and are left out",
                severity="warning",
            )

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

    def _take_view(self, total: int, version: int) -> None:
        """Other rows are shown: stay on the record that is read, if it is among them."""
        self._version = version
        table = self.table
        cursor = table.cursor
        table.begin(total, min(cursor, max(0, total - 1)))
        self._record_asked = None
        if self.record is not None:
            self._ask("place", self._take_place, line=self.record["line"])
        self._show_lines()
        if not total:
            self.record = None
            self._show_record()

    def _take_place(self, place: Answer) -> None:
        self.table.move_to(place["position"])

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
        if all(shown.get(key) == row.get(key) for key in ("line", "decision", "edited", "bytes")):
            return
        self._record_asked = line

        def take(record: Answer) -> None:
            home = self.record is None or self.record["line"] != record["line"]
            self.record, self._findings, self._record_asked = record, None, None
            self._show_record(home=home)
            self._show_lines()
            self._choose()  # the cursor may have moved on

        self._ask("record", take, line=line)

    def _show_record(self, *, home: bool = True) -> None:
        shown = self.query_one("#record", Static)
        if self.record is None:
            self._shown = None
            shown.update(no_rows(self.status, self.filter))
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
            "#file": file_line(self.path, self.status),
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

    # Keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "next_hit":
            return True if self._query else None
        if action == "clear_filter":
            return True if self.filter else None
        if action in ("undo", "redo"):
            return True if self.status.get(action) else None
        if action in ("edit", "reject", "decide"):
            return True if self.record is not None else None
        return True

    def action_keys(self) -> None:
        from haruon_tui.screens.help import HelpScreen

        self.app.push_screen(HelpScreen(first="browser"))

    def action_scroll_record(self, by: int) -> None:
        self.query_one("#reader").scroll_relative(y=by, animate=False)

    def action_next_finding(self) -> None:
        reader = self.query_one("#reader")
        heights = [self._height_above(found) for found in self._shown.found] if self._shown else []
        if heights:
            below = [height for height in heights if height > reader.scroll_offset.y + 1]
            self._scroll_record_to((below or heights)[0] - 1)

    def action_search(self) -> None:
        self._ask_query("Search for a text", "Capital letters count.", regex=False)

    def action_search_regex(self) -> None:
        hint = "Python syntax; (?i) ignores capitals."
        self._ask_query("Search with a regular expression", hint, regex=True)

    def _ask_query(self, question: str, hint: str, *, regex: bool) -> None:
        before = self._query.text if self._query and self._query.regex == regex else ""

        def answered(text: str | None) -> None:
            if text:
                self.search(text, regex=regex)

        self.app.push_screen(PromptScreen(question, hint, before), answered)

    def search(self, text: str, *, regex: bool) -> None:
        """Search the whole file and go to the first record at or after the cursor."""
        try:
            query = Query(text, regex)
        except BadPattern as error:
            self._fail({"what": f"«{text}» {error}", "do": "search again: r"})
            return
        self._fail(None)
        self._query, self._hit = query, None

        def started(_: Answer) -> None:
            self._seek_when_found = True
            self._show_record()
            self._show_lines()

        self._ask("search", started, text=text, regex=regex)

    def action_next_hit(self, step: int) -> None:
        self._seek(step)

    def _seek(self, step: int) -> None:
        def take(hit: Answer) -> None:
            self._hit = hit
            if hit["position"] is not None:
                self.table.move_to(hit["position"])
            self._show_lines()

        self._ask("seek", take, position=self.table.cursor, step=step)

    def action_back(self) -> None:
        search = self.status.get("search")
        problem = self.query_one("#problem", ErrorPanel)
        if problem.display and self.status:
            problem.show(None)
        elif search and not search["done"]:
            self._ask("stop_search")
        elif self._query is not None:
            self._query, self._hit = None, None
            self._ask("clear_search")
            self._show_record(home=False)
            self._show_lines()
        else:
            self.dismiss()

    def action_filter(self) -> None:
        def answered(choice: str | None) -> None:
            if choice:
                self._show(browser_choices.with_choice(self.filter, choice), self.sort)

        choices = browser_choices.filter_choices(self.status)
        self.app.push_screen(PickScreen("Show only", choices, "F shows all."), answered)

    def action_clear_filter(self) -> None:
        self._show({}, self.sort)

    def action_sort(self) -> None:
        def answered(column: str | None) -> None:
            if column:
                same = self.sort[0] == column
                self._show(self.filter, (column, not self.sort[1] if same else False))

        choices = list(browser_choices.COLUMNS.items())
        hint = "The same one again: the other way round."
        self.app.push_screen(PickScreen("Sort by", choices, hint), answered)

    def _show(self, filter: browser_choices.Filter, sort: tuple[str, bool]) -> None:
        self.filter, self.sort = filter, sort
        self._hit = None
        self._ask(
            "show",
            lambda view: self._take_view(view["total"], view["version"]),
            filter=filter,
            sort=sort[0],
            descending=sort[1],
        )
        self._show_lines()

    def action_go_to(self) -> None:
        def answered(text: str | None) -> None:
            if text is None:
                return
            number = text.strip().replace(",", "").lstrip("#")
            last = self.status.get("lines", 0)
            if not number.isdecimal() or not 1 <= int(number) <= last:
                self._fail(
                    {
                        "what": f"there is no line «{text.strip()}»",
                        "expected": f"a number from 1 to {last:,}",
                    }
                )
                return
            self._fail(None)
            self._ask("place", placed, line=int(number) - 1)

        def placed(place: Answer) -> None:
            self.table.move_to(place["position"])
            if not place["shown"]:
                self.notify("that line is filtered out; this is the next one shown")

        self.app.push_screen(PromptScreen("Go to line", "From 1, as in messages."), answered)

    def action_check_all(self) -> None:
        self._ask("check_all", wanted=not self.status.get("check_all"))

    def action_histograms(self) -> None:
        from haruon_tui.screens.histograms import HistogramScreen

        self.app.push_screen(HistogramScreen(self._ask))

    # Changing

    def _may_change(self) -> bool:
        if self._session.read_only:
            self.notify("read-only: nothing is changed", severity="warning")
        return not self._session.read_only

    def action_edit(self) -> None:
        record = self.record
        if record is None or not self._may_change():
            return
        if record["text"] is None:
            self._fail({"what": "this line is too long to be changed here", "do": "use an editor"})
            return
        from haruon_tui.screens.record_editor import RecordEditor

        line = record["line"]

        def save(text: str, then: Callable[[dict[str, str] | None], None]) -> None:
            def answered(answer: Answer) -> None:
                then(answer.get("error"))
                if "error" not in answer:
                    beside = answer["ok"]["beside"]
                    where = f"in {Path(beside).name}; w writes out" if beside else "in the file"
                    self.notify(f"saved {where}; ^z takes it back")

            if self._client is not None:
                self._client.ask("change", answered, line=line, text=text)

        title = f"{self.path.name}, line {line + 1}"
        self.app.push_screen(RecordEditor(title, record["text"], save))

    def action_undo(self) -> None:
        self._step("undo", "taken back")

    def action_redo(self) -> None:
        self._step("redo", "made again")

    def _step(self, which: str, done: str) -> None:
        def take(answer: Answer) -> None:
            if answer["line"] is not None:
                self._ask("place", self._take_place, line=answer["line"])
                self.notify(f"the change of line {answer['line'] + 1} is {done}")

        if self._may_change():
            self._ask(which, take)

    def action_decide(self, decision: str, reason: str = "") -> None:
        if self.record is not None and self._may_change():
            self._ask("decide", line=self.record["line"], decision=decision, reason=reason)

    def action_reject(self) -> None:
        if self.record is None or not self._may_change():
            return
        first = next(iter(self._findings or []), None)
        suggested = f"{first['rule']}: {first['message']}" if first else ""

        def answered(reason: str | None) -> None:
            if reason is not None:
                self.action_decide("reject", reason.strip())

        prompt = PromptScreen("Reject it, because", "", suggested, allow_empty=True)
        self.app.push_screen(prompt, answered)

    def action_write_out(self) -> None:
        if not self._may_change():
            return

        def written(answer: Answer) -> None:
            self.notify(f"{answer['path']}: written; {answer['rejected']} rejected ones beside it")

        def answered(name: str | None) -> None:
            if name:
                path = (self.path.parent / Path(name.strip()).expanduser()).absolute()
                self._ask("write_out", written, path=str(path), leave_rejected=True)

        hint = "Changes are in it, rejected records go to NAME.rejected.jsonl."
        initial = f"{self.path.stem}.reviewed.jsonl"
        self.app.push_screen(PromptScreen("Write out to", hint, initial), answered)

    def action_open(self) -> None:
        from haruon_tui.screens.dataset_files import choose_file

        def chosen(path: Path) -> None:
            self.dismiss()
            self.app.push_screen(DatasetBrowser(self._session, path))

        choose_file(self, self._session, chosen)


def _post(screen: DatasetBrowser, message: Message) -> None:
    with contextlib.suppress(RuntimeError):  # the event loop is gone
        screen.post_message(message)


def _first_rows(path: Path) -> list[Answer]:
    os.close(open_regular(path))  # raises what is to say about anything but a file
    return first_rows(path, PAGE)


def _checked_by(session: Session) -> tuple[str, str | None]:
    """The workspace's rule set, and the tokenizer.json of the newest base model in it."""
    rules = "calibrated"
    with contextlib.suppress(Exception):  # without settings, the default
        rules = session.workspace.settings.dataset.rules
    found = sorted(session.workspace.runs.glob("*-model-*/artifacts/model/tokenizer.json"))
    return rules, str(found[-1]) if found else None
