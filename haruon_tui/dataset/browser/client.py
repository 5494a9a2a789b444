"""The screen's side of the reader process."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from haruon_tui.dataset.browser.pipes import Child, Message

Answer = Callable[[Message], None]

_GONE = {"what": "the process that reads the file has ended", "do": "open the file again"}


class ReaderClient:
    """Starts the reader and opens a file. All methods return at once.

    `on_event` gets what the reader says unasked, `on_answer` an answer with the function that
    waits for it; both in a thread of this object.
    """

    def __init__(
        self,
        path: Path,
        on_event: Callable[[Message], None],
        on_answer: Callable[[Answer, Message], None],
    ) -> None:
        self._on_event = on_event
        self._on_answer = on_answer
        self._numbers = itertools.count(1)
        self._waiting: dict[int, Answer] = {}
        self._lock = threading.Lock()
        self._child = Child("haruon_tui.dataset.browser.reader", self._take, self._ended)
        self.ask("open", self._opened, path=str(path))

    @property
    def pid(self) -> int:
        return self._child.pid

    def ask(self, do: str, then: Answer, **asked: Any) -> None:
        """Ask, and give the answer to `then`: {"ok": value} or {"error": parts}."""
        with self._lock:
            number = next(self._numbers)
            self._waiting[number] = then
        if not self._child.send({"id": number, "do": do, **asked}):
            self._take({"id": number, "error": _GONE})

    def close(self) -> None:
        """End the reader and whatever it started."""
        threading.Thread(target=self._child.close, name="closing", daemon=True).start()

    def _opened(self, answer: Message) -> None:
        self._on_event({"event": "opened", **answer})

    def _take(self, message: Message) -> None:
        if "event" in message:
            self._on_event(message)
            return
        with self._lock:
            then = self._waiting.pop(message["id"], None)
        if then is not None:
            self._on_answer(then, message)

    def _ended(self, words: str) -> None:
        with self._lock:
            numbers = list(self._waiting)
        for number in numbers:
            self._take({"id": number, "error": _GONE})
        self._on_event({"event": "ended", "words": words})
