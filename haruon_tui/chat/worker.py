"""The chat worker: `python -m haruon_tui.chat.worker`, one process per loaded model.

It speaks the protocol over stdin and stdout, and whatever native code prints goes to stderr. It
ends at once when its stdin closes, whatever it is doing, so it never outlives its client.
"""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading
import time
import traceback
from typing import TYPE_CHECKING

from haruon_tui.chat import protocol
from haruon_tui.errors import HaruonError, StageError

if TYPE_CHECKING:
    from haruon_tui.chat.engine import Engine

_HOLD_SECONDS = 0.1


class Worker:
    """Answers requests in turn; a thread of its own listens for stops meanwhile."""

    def __init__(self, requests: int, events: int) -> None:
        """File descriptors to read requests from and to write events to."""
        self._requests = requests
        self._events = events
        self._waiting: queue.SimpleQueue[protocol.Request] = queue.SimpleQueue()
        self._stopped: set[int] = set()
        self._sending = threading.Lock()
        self._held = b""
        self._token_sent_at = 0.0
        self._engine: Engine | None = None
        self._answering: int | None = None
        self._turn = threading.Lock()

    def run(self) -> None:
        """Serve until the requests end; the process ends then, so this does not return."""
        threading.Thread(target=self._listen, daemon=True).start()
        while True:
            request = self._waiting.get()
            try:
                self._do(request)
            except HaruonError as error:
                self._fail(request, error)
            except Exception as error:  # noqa: BLE001 - the client must hear of anything
                traceback.print_exc()
                self._fail(request, StageError(f"{type(error).__name__}: {error}"))

    def _listen(self) -> None:
        with os.fdopen(self._requests, "rb") as lines:
            for line in lines:
                try:
                    request = protocol.decode_request(line)
                except (ValueError, TypeError) as error:
                    self._send(protocol.Failed(f"not understood: {error}"))
                    continue
                if isinstance(request, protocol.Stop):
                    self._stop(request.id)
                elif isinstance(request, protocol.Render) and self._engine:
                    self._render(self._engine, request)
                else:
                    self._waiting.put(request)
        os._exit(0)  # the model holds nothing worth saving, and C code may be far from done

    def _stop(self, number: int) -> None:
        self._stopped.add(number)
        with self._turn:
            if self._engine and self._answering == number:
                self._engine.abort()

    def _render(self, engine: Engine, request: protocol.Render) -> None:
        try:
            self._send(engine.render(request.id, request.messages))
        except HaruonError as error:
            self._fail(request, error)

    def _do(self, request: protocol.Request) -> None:
        match request:
            case protocol.Load():
                from haruon_tui.chat.engine import Engine

                self._engine = Engine(request)
                self._send(self._engine.loaded)
            case protocol.Generate():
                self._generate(self._loaded(), request)
            case protocol.Reset():
                self._loaded().reset()
            case protocol.Render():
                self._render(self._loaded(), request)

    def _generate(self, engine: Engine, request: protocol.Generate) -> None:
        with self._turn:
            self._answering = request.id
        try:
            for event in engine.answer(request, lambda: request.id in self._stopped):
                self._send(event)
        finally:
            with self._turn:
                self._answering = None
            self._stopped.discard(request.id)

    def _loaded(self) -> Engine:
        if self._engine is None:
            raise StageError("no model is loaded")
        return self._engine

    def _fail(self, request: protocol.Request, error: HaruonError) -> None:
        asked = protocol.Generate | protocol.Render
        number = request.id if isinstance(request, asked) else None
        self._send(protocol.Failed(error.what, number, error.where, error.expected, error.do))

    def _send(self, event: protocol.Event) -> None:
        """Tokens that follow another at once go together a few times a second: whoever is woken
        for them takes a core from the model."""
        is_token = isinstance(event, protocol.Token)
        with self._sending:
            self._held += protocol.encode(event)
            now = time.monotonic()
            if is_token and now - self._token_sent_at < _HOLD_SECONDS:
                return
            self._token_sent_at = now if is_token else 0.0
            lines, self._held = self._held, b""
            while lines:
                lines = lines[os.write(self._events, lines) :]


def main() -> None:
    # An assertion of ggml's would start a debugger first; its own line says enough.
    os.environ["GGML_NO_BACKTRACE"] = "1"
    for number in (signal.SIGINT, signal.SIGHUP):  # the client decides when this ends
        signal.signal(number, signal.SIG_IGN)
    events = os.dup(1)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    requests = os.dup(0)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    Worker(requests, events).run()


if __name__ == "__main__":
    main()
