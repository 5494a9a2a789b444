"""Reading a file through for its lines, and noticing what other programs do to it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from haruon_tui.dataset.browser import line_index
from haruon_tui.dataset.browser.document import Document
from haruon_tui.dataset.browser.line_index import Offsets

_POLL_SECONDS = 0.5


class Following:
    """`post` puts a call into the reader's queue. `grown` hears of more lines, with whether it is
    the first time that all are known; `replaced` that the file is another one."""

    def __init__(
        self,
        post: Callable[[Callable[[], None]], None],
        grown: Callable[[bool], None],
        replaced: Callable[[], None],
    ) -> None:
        self._post = post
        self._grown = grown
        self._replaced = replaced
        self._number = 0
        self._first = True
        self._polled = 0.0
        self.scanning = False
        self.note = ""

    def start(self, document: Document) -> None:
        """Read it from the start; another one that is being read is left."""
        self._first = True
        self._scan(document, 0)

    def poll(self, document: Document) -> None:
        """Look at the file again, if that is due."""
        if self.scanning or time.monotonic() - self._polled < _POLL_SECONDS:
            return
        self._polled = time.monotonic()
        if document.has_changed():
            self._replaced()
        elif document.has_grown():
            document.grown = True
            self._scan(document, document.index.size)
        elif document.index.tail_start < document.index.size:
            before = len(document.index)
            self.note = document.judge_tail()
            if len(document.index) != before:
                self._grown(False)

    def _scan(self, document: Document, start: int) -> None:
        self._number += 1
        self.scanning = True
        number = self._number

        def stopped() -> bool:
            return number != self._number

        def post(ends: Offsets, size: int) -> None:
            self._post(lambda: None if stopped() else self._add(document, ends, size))

        def work() -> None:
            problem = ""
            try:
                for ends, size in line_index.scan(document.path, start, stopped):
                    post(ends, size)
            except OSError as error:
                problem = f"cannot be read on: {error.strerror or error}"
            self._post(lambda: None if stopped() else self._done(document, problem))

        threading.Thread(target=work, name="indexing", daemon=True).start()

    def _add(self, document: Document, ends: Offsets, size: int) -> None:
        document.index.tail_counts = False
        document.index.add(ends, size)

    def _done(self, document: Document, problem: str) -> None:
        self.scanning = False
        self.note = problem or document.judge_tail()
        first, self._first = self._first, False
        self._grown(first)
