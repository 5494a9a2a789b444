"""The two processes of report mode: the model that writes, and the watch that checks meanwhile.

What the model writes goes to the watch from the thread that hears it, so that checking waits for
no screen. All methods return at once.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from textual.message import Message

from haruon_tui.chat.client import ChatClient
from haruon_tui.chat.protocol import Done, Event, Failed, Reason, Token
from haruon_tui.dataset.browser.pipes import Child
from haruon_tui.screens.engine import parts

Said = dict[str, Any]

WATCH = "haruon_tui.chat.watch_worker"
_LIVES = 3
"""Watches that may be started for one report; what ended three ends the next one too."""


class Written(Message):
    """An event of the model's worker about the report `number`."""

    def __init__(self, number: int, event: Event) -> None:
        super().__init__()
        self.number = number
        self.event = event


class Watched(Message):
    """What the watch says: see haruon_tui.chat.watch_worker; {"ended": words} when it is gone."""

    def __init__(self, said: Said) -> None:
        super().__init__()
        self.said = said


class ReportWorkers:
    """Starts both, and starts the watch again where it dies: it is then told all so far."""

    def __init__(
        self,
        post: Callable[[Message], object],
        connect: Callable[..., ChatClient] = ChatClient,
        watch: Callable[..., Child] = Child,
    ) -> None:
        self._post_message = post
        self._connect = connect
        self._make_watch = watch
        self._threads = ThreadPoolExecutor(1, "report mode")  # what it began, it ends at exit
        self._lock = threading.RLock()
        self._client: ChatClient | None = None
        self._watch: Child | None = None
        self._lives = 0
        self._told: list[Said] = []
        """What the watch was told of the report that it is at."""
        self._number = 0
        self._closed = False

    def open_watch(self) -> None:
        """Start the watch, which loads its analyser."""
        self.do(self._start_watch)

    def generate(
        self, begin: Said, model: Path, context: int, sampling: dict[str, Any], messages: Any
    ) -> None:
        """Let the model write the report that `begin` tells the watch of. The first report loads
        the model. Nothing before it is in the context, so that reports can be compared."""
        self._tell_anew(begin)
        self.do(lambda: self._ask(int(begin["number"]), model, context, sampling, messages))

    def review(self, begin: Said, text: str, reason: Reason, tokens: int) -> None:
        """Have a report that is there checked again."""
        self._tell_anew(begin)
        self._tell({"do": "feed", "number": begin["number"], "text": text})
        self._tell_end(begin["number"], reason, tokens)

    def stop(self) -> None:
        """End the answer under way, which still gets its Done."""
        if self._client:
            self.do(lambda: self._client.stop() if self._client else None)

    def do(self, work: Callable[[], object]) -> None:
        """Do this in the thread of report mode, after what was asked before."""
        with contextlib.suppress(RuntimeError):  # it is closed
            self._threads.submit(self._safely, work)

    def close(self) -> None:
        """End both, once what is to be saved is saved."""
        self.do(self._close)
        self._closed = True
        self._threads.shutdown(wait=False)

    # In threads

    def _safely(self, work: Callable[[], object]) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 - whatever is wrong, the screen must say it
            self._post(Written(self._number, Failed(": ".join(parts(error).values()))))

    def _ask(
        self, number: int, model: Path, context: int, sampling: dict[str, Any], messages: Any
    ) -> None:
        if self._closed:
            return
        if self._client is not None and self._client.path != model.absolute():
            self._client.close()
            self._client = None
        if self._client is None:
            client = self._connect(model, context=context, on_event=self._hear)
            client.launch()
            self._client = client
        self._number = number
        self._client.reset()
        self._client.ask(messages, **sampling)

    def _hear(self, event: Event) -> None:
        """In the thread of the client."""
        number = self._number
        if isinstance(event, Token):
            self._tell({"do": "feed", "number": number, "text": event.text})
        elif isinstance(event, Done):
            self._tell_end(number, event.reason, event.generated_tokens)
        elif isinstance(event, Failed) and event.id is None:
            self._client = None  # the next report starts another worker
        self._post(Written(number, event))

    def _tell_end(self, number: int, reason: Reason, tokens: int) -> None:
        self._tell({"do": "finish", "number": number, "reason": reason, "tokens": tokens})

    def _tell_anew(self, begin: Said) -> None:
        with self._lock:
            self._told, self._lives = [], 0
            self._tell(begin)

    def _tell(self, message: Said) -> None:
        with self._lock:
            self._told.append(message)
            if self._watch is not None:
                self._watch.send(message)

    def _start_watch(self) -> None:
        with self._lock:
            if self._closed:
                return
            self._lives += 1
            self._watch = self._make_watch(WATCH, self._watched, self._watch_ended)
            for message in self._told:
                self._watch.send(message)

    def _watched(self, said: Said) -> None:
        self._post(Watched(said))

    def _watch_ended(self, words: str) -> None:
        with self._lock:
            self._watch = None
            again = self._lives < _LIVES
        self._post(Watched({"ended": words, "again": again}))
        if again:
            self.do(self._start_watch)

    def _close(self) -> None:
        with self._lock:
            watch, self._watch = self._watch, None
        if watch is not None:
            watch.close()
        if self._client is not None:
            self._client.close()
            self._client = None

    def _post(self, message: Message) -> None:
        with contextlib.suppress(RuntimeError):  # the event loop is gone
            self._post_message(message)
