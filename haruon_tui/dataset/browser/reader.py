"""The process behind the browser: `python -m haruon_tui.dataset.browser.reader`.

One thread owns all state and takes calls from a queue; reading the file through, and writing it
out, are threads that only put calls there. Requests are {"id", "do": name of a method below, ...}
and are answered {"id", "ok": value} or {"id", "error": the parts of an error}. Unasked it says:

    {"event": "status", ...}      how far everything is, at most a few times a second
    {"event": "view", "total", "version"}   other lines are shown, or in another order
    {"event": "findings", "line", "findings"}
    {"event": "reopened"}         another program has replaced the file
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from haruon_tui.dataset.browser.checking import AUTOMATIC, Checking
from haruon_tui.dataset.browser.document import Document
from haruon_tui.dataset.browser.following import Following
from haruon_tui.dataset.browser.pipes import Message, Parent
from haruon_tui.dataset.browser.search import BadPattern
from haruon_tui.dataset.browser.searching import Searching
from haruon_tui.dataset.browser.status import StatusReport
from haruon_tui.dataset.browser.summaries import VERDICTS
from haruon_tui.dataset.browser.view import View, seek
from haruon_tui.errors import HaruonError, StageError

_TICK_SECONDS = 0.1
_KEEP_SECONDS = 30.0
_MAX_ROWS = 500


class Reader:
    """One open file and everything the screen may ask about it."""

    def __init__(self, parent: Parent) -> None:
        self._parent = parent
        self._calls: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._document: Document | None = None
        self._following = Following(self._calls.put, self._grown, self._reopen)
        self._checking: Checking | None = None
        self._search = Searching(self._calls.put)
        self._view = View()
        self._status = StatusReport()
        self._kept = time.monotonic()

    def run(self) -> None:
        """Serve until the parent closes its side; the process ends then."""
        self._parent.listen(lambda asked: self._calls.put(lambda: self._answer(asked)))
        while True:
            try:
                self._calls.get(timeout=_TICK_SECONDS)()
                while not self._calls.empty():
                    self._calls.get()()
            except queue.Empty:
                pass
            self._tick()

    # Requests

    def open(self, path: str) -> Message:
        """Open the file; everything else needs this first."""
        self._document = Document(Path(path))
        self._checking = Checking(self._calls.put, self._found)
        self._following.start(self._document)
        return {"edits_left_out": self._document.overlay.left_out}

    def configure(self, rules: str, tokenizer: str | None) -> Message:
        """Say by which rules records are checked, and which tokenizer.json counts tokens."""
        document, checking = self._opened()
        checking.configure(rules, tokenizer)
        if not self._following.scanning and not checking.summaries.checked():
            checking.restore(document)
        return {}

    def rows(self, first: int, count: int) -> Message:
        """Rows at these positions of the view."""
        document, checking = self._opened()
        lines = self._view.lines(document, first, min(count, _MAX_ROWS))
        summaries = checking.summaries
        made = []
        for line in lines:
            row = document.row(line)
            known = line < len(summaries.verdict) and bool(summaries.verdict[line])
            row["verdict"] = VERDICTS[summaries.verdict[line]] if known else "unchecked"
            row["tokens"] = int(summaries.tokens[line]) if known else -1
            if row["bad"]:
                row["verdict"] = "blank" if row["bad"] == "blank line" else "unreadable"
            made.append(row)
        checking.urge(lines)
        checking.around = lines[0] if lines else 0
        return {"first": first, "rows": made, "version": self._view.version}

    def record(self, line: int) -> Message:
        """One record in full; its findings follow as an event."""
        document, checking = self._opened()
        shown = document.record(line)
        checking.one(document, line)
        return shown

    def place(self, line: int) -> Message:
        """The position of a line in the view: the nearest one after it where it is not shown."""
        document, _ = self._opened()
        position, shown = self._view.place(document, line)
        return {"position": position, "shown": shown}

    def show(self, filter: dict[str, Any], sort: str, descending: bool) -> Message:
        """Show the lines that fit a filter, sorted; see Summaries.select and order."""
        document, checking = self._opened()
        self._view.set(filter, sort, descending)
        checking.all = checking.all or self._view.by_checks
        self._view.rebuild(document, checking.summaries)
        return self._view_message()

    def check_all(self, wanted: bool) -> Message:
        """Check every line, or only those on the screen."""
        _, checking = self._opened()
        checking.all = wanted
        return {}

    def histograms(self) -> Message:
        """Of what is checked so far; the rest is checked from now on."""
        document, checking = self._opened()
        checking.all = True
        return {
            **checking.summaries.histograms(),
            **checking.summaries.counts(),
            "lines": len(document.index),
            "exact": checking.exact,
        }

    def search(self, text: str, regex: bool) -> Message:
        """Search the whole file, also what is not indexed yet; progress and count are in the
        status."""
        document, _ = self._opened()
        edits = document.overlay.edits
        changed = [[start, edit.line] for start, edit in sorted(edits.items())]
        path = str(document.path)
        try:
            self._search.start(path, document.size(), text, regex, changed)
        except BadPattern as error:
            raise StageError(f"«{text}» {error}", expected="a Python regular expression") from None
        return {}

    def stop_search(self) -> Message:
        """Stop a search that is under way."""
        self._search.stop()
        return {}

    def clear_search(self) -> Message:
        """Forget the search."""
        self._search.clear()
        return {}

    def seek(self, position: int, step: int) -> Message:
        """The next hit of the search after (step 1) or before (-1) a position of the view, or on
        it (0); from the other end when there is none. None where there is no hit."""
        document, _ = self._opened()
        hits = self._view.positions(document.index.lines_at(self._search.starts()))
        return seek(hits, position, step)

    def decide(self, line: int, decision: str, reason: str) -> Message:
        """Accept or reject a record, or take that back ("none")."""
        document, _ = self._opened()
        document.decide(line, decision, reason)
        self._show_again()
        return {}

    def change(self, line: int, text: str) -> Message:
        """Save another text for a record."""
        document, _ = self._opened()
        whole = document.replaces()
        before = document.index.size
        document.change(line, text)
        self._line_changed(line, document.index.size - before)
        return {"line": line, "beside": None if whole else str(document.overlay.path)}

    def undo(self) -> Message:
        """Take the last change back."""
        document, _ = self._opened()
        return self._step(document.undo)

    def redo(self) -> Message:
        """Make the change again that was taken back last."""
        document, _ = self._opened()
        return self._step(document.redo)

    def write_out(self, asked: int, path: str, leave_rejected: bool) -> None:
        """Write the dataset with its changes to another file; answers when it is done."""
        document, _ = self._opened()
        write = document.writing_out(Path(path), leave_rejected=leave_rejected)

        def work() -> None:
            try:
                rejected = write()
            except Exception as error:  # noqa: BLE001 - the screen must hear of anything
                self._refuse(asked, error)
            else:
                self._parent.say({"id": asked, "ok": {"path": path, "rejected": rejected}})

        threading.Thread(target=work, name="writing out", daemon=True).start()

    # The rest

    def _answer(self, asked: Message) -> None:
        number, name = asked.pop("id"), asked.pop("do")
        try:
            if name == "write_out":
                self.write_out(number, **asked)
            else:
                self._parent.say({"id": number, "ok": getattr(self, name)(**asked)})
        except Exception as error:  # noqa: BLE001 - the screen must hear of anything
            self._refuse(number, error)

    def _refuse(self, number: int, error: Exception) -> None:
        where = str(self._document.path) if self._document else ""
        self._parent.say({"id": number, "error": _parts(error, where)})

    def _opened(self) -> tuple[Document, Checking]:
        if self._document is None or self._checking is None:
            raise StageError("no file is open")
        return self._document, self._checking

    def _step(self, step: Callable[[], int | None]) -> Message:
        document, _ = self._opened()
        before = document.index.size
        line = step()
        if line is not None:
            self._line_changed(line, document.index.size - before)
        return {"line": line}

    def _line_changed(self, line: int, by: int) -> None:
        """The line has another text, and in the file it is longer by so many bytes."""
        document, checking = self._opened()
        checking.line_changed(document, line)
        search = self._search
        if search.asked is not None and not search.done:
            self.search(search.asked["text"], search.asked["regex"])
        elif search.asked is not None:
            start, _ = document.index.span(line)
            search.line_changed(start, by, document.raw(line))
        self._show_again()

    def _show_again(self) -> None:
        document, checking = self._opened()
        self._view.rebuild(document, checking.summaries)
        self._view.version += 1
        self._parent.say(self._view_message())

    def _found(self, line: int, findings: list[Message]) -> None:
        self._parent.say({"event": "findings", "line": line, "findings": findings})

    def _view_message(self) -> Message:
        document, _ = self._opened()
        return {
            "event": "view",
            "total": self._view.total(document),
            "version": self._view.version,
        }

    def _grown(self, first: bool) -> None:
        """All lines that the file has now are known."""
        document, checking = self._opened()
        summaries = checking.summaries
        before = len(summaries.verdict)
        summaries.resize(len(document.index))
        if first:
            self._search.look(str(document.path))
            self._status.stale_decisions = document.review.drop_stale(document.digest)
            checking.restore(document)
            checking.release()
            checking.all = checking.all or len(document.index) <= AUTOMATIC
        elif 0 < before <= len(document.index):
            summaries.forget(before - 1)  # it may have been half a line
        if self._view.rebuild(document, summaries):
            self._parent.say(self._view_message())

    def _reopen(self) -> None:
        document, checking = self._opened()
        try:
            fresh = Document(document.path)
        except HaruonError as error:
            self._following.note = str(error).replace("\n", "; ")
            return
        document.close()
        self._document = fresh
        checking.reset()
        self._search.clear()
        version = self._view.version
        self._view = View()
        self._view.version = version + 1
        self._following.start(fresh)
        self._parent.say({"event": "reopened"})

    def _tick(self) -> None:
        if self._document is None or self._checking is None:
            return
        self._following.poll(self._document)
        self._search.watch()
        document, checking = self._opened()
        checking.feed(document)
        late = time.monotonic() - self._kept > _KEEP_SECONDS
        if checking.changed and not self._following.scanning and (checking.complete or late):
            self._kept = time.monotonic()
            self._keep(document, checking)
        due = checking.changed and self._view.due()
        if due and self._view.rebuild(document, checking.summaries):
            self._parent.say(self._view_message())
        news = self._status.news(document, self._following, checking, self._search, self._view)
        if news is not None:
            self._parent.say(news)

    def _keep(self, document: Document, checking: Checking) -> None:
        try:
            checking.keep(document)
        except OSError as error:
            self._following.note = f"what was checked is not kept: {error}"


def _parts(error: Exception, where: str) -> dict[str, str]:
    if isinstance(error, HaruonError):
        return error.as_dict()
    if isinstance(error, OSError):
        said = f"failed: {error.strerror or error}"
        return {"what": said, "where": str(error.filename or where)}
    if isinstance(error, IndexError):
        return {"what": f"there is no {error}", "where": where}
    return {"what": f"{type(error).__name__}: {error}", "where": where}


def main() -> None:
    Reader(Parent()).run()


if __name__ == "__main__":
    main()
