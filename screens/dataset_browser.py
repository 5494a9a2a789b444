"""The dataset browser: its keys, and what each of them asks of the reader."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from haruon_tui.dataset.browser.search import BadPattern, Query
from haruon_tui.screens import browser_choices
from haruon_tui.screens.actions import Scope, bindings
from haruon_tui.screens.pick import PickScreen
from haruon_tui.screens.prompt import PromptScreen
from haruon_tui.screens.reader_link import Answer
from haruon_tui.screens.reader_screen import ReaderScreen
from haruon_tui.screens.widgets.error_panel import ErrorPanel
from haruon_tui.styles import stylesheet


class DatasetBrowser(ReaderScreen):
    """Any JSONL file: search, filter, sort, change, accept and reject."""

    CSS_PATH = stylesheet("dataset_browser")
    BINDINGS = bindings("browser")
    scopes: ClassVar[tuple[Scope, ...]] = ("browser",)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if self.failed and action not in ("keys", "back", "open"):
            return None
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
                self._show(self.filter, (column, not self.sort[1] if same else False), home=True)

        choices = list(browser_choices.COLUMNS.items())
        hint = "The same one again: the other way round."
        self.app.push_screen(PickScreen("Sort by", choices, hint), answered)

    def _show(
        self, filter: browser_choices.Filter, sort: tuple[str, bool], *, home: bool = False
    ) -> None:
        self.filter, self.sort = filter, sort
        self._hit = None
        self._ask(
            "show",
            lambda view: self._take_view(view["total"], view["version"], home=home),
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
            self.table.jump_to(place["position"])
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

            self._link.ask("change", answered, line=line, text=text)

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
            count = answer["rejected"]
            beside = f", {count} rejected ones beside it" if count else ""
            self.notify(f"written to {answer['path']}{beside}")

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
