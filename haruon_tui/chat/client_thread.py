"""A client of a chat worker or of an endpoint, and the thread that speaks to it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Literal, Protocol

from haruon_tui.chat.client import ChatClient
from haruon_tui.chat.models import Model, shared_threads
from haruon_tui.chat.protocol import Event, Message
from haruon_tui.chat.remote import Endpoint, RemoteClient

Mode = Literal["together", "in turn"]
"""Whether several models answer at the same time. Speed can only be compared in turn, when each
has the machine for itself."""


class Client(Protocol):
    """What a ChatClient and a RemoteClient have in common."""

    def launch(self) -> None: ...
    def ask(self, messages: list[Message], **sampling: Any) -> int: ...
    def render(self, messages: list[Message]) -> None: ...
    def stop(self) -> None: ...
    def reset(self) -> None: ...
    def close(self) -> None: ...


Hear = Callable[[Event], None]
Connect = Callable[[Model, int, Mode, int, Hear], Client]
"""Gets the model, the context in tokens, the mode, how many models there are, and who hears."""


def connect_to(model: Model, context: int, mode: Mode, count: int, hear: Hear) -> Client:
    """A client that is not launched yet. Raises HaruonError."""
    if isinstance(model, Endpoint):
        return RemoteClient(model, on_event=hear)
    threads = shared_threads(model, count) if mode == "together" else None
    return ChatClient(model, context=context, threads=threads, on_event=hear)


class ClientThread:
    """A daemon thread with one client, which it closes at its end. No method waits but `join`."""

    def __init__(self) -> None:
        self.client: Client | None = None
        self._requests: SimpleQueue[Callable[[Client | None], Client | None] | None] = (
            SimpleQueue()
        )
        self._thread = threading.Thread(target=self._serve, name="side-by-side", daemon=True)
        self._thread.start()

    def call(self, request: Callable[[Client | None], None]) -> None:
        """Call `request` with the client, None where there is none."""

        def kept(client: Client | None) -> Client | None:
            request(client)
            return client

        self._requests.put(kept)

    def replace(self, request: Callable[[Client | None], Client | None]) -> None:
        """Call `request`, and take the client that it returns from then on."""
        self._requests.put(request)

    def end(self) -> None:
        """Close the client once what was asked for before is done."""
        self._requests.put(None)

    def join(self, seconds: float) -> None:
        """Wait until it has ended."""
        self._thread.join(seconds)

    def _serve(self) -> None:
        while request := self._requests.get():
            self.client = request(self.client)
        if self.client:
            self.client.close()
