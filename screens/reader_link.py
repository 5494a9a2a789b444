"""The browser's link to the reader process: made in a thread, heard as messages of the screen."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textual.message import Message
from textual.message_pump import MessagePump

from haruon_tui.dataset.browser.client import ReaderClient
from haruon_tui.dataset.browser.rows import first_rows, open_regular
from haruon_tui.screens.engine import parts
from haruon_tui.screens.widgets.record_table import PAGE

if TYPE_CHECKING:
    from haruon_tui.screens.session import Session

Answer = dict[str, Any]


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


class ReaderLink:
    """Opens a file for a screen, which gets `Said` and `Answered`. All methods return at once."""

    def __init__(self, screen: MessagePump, session: Session, path: Path) -> None:
        self._screen = screen
        self._session = session
        self._path = path
        self._client: ReaderClient | None = None
        self._closed = False

    def open(self) -> None:
        """The first rows come at once, as {"event": "first", "rows"}; what hinders the opening
        comes as {"event": "failed", "error"}."""
        threading.Thread(target=self._open, name="opening a dataset", daemon=True).start()

    def ask(self, do: str, then: Callable[[Answer], None], **asked: Any) -> None:
        """See ReaderClient.ask. Nothing is asked before the file is open."""
        if self._client is not None:
            self._client.ask(do, then, **asked)

    def close(self) -> None:
        """End the reader, also one that is only being started."""
        self._closed = True
        if self._client is not None:
            self._client.close()

    def _open(self) -> None:
        try:
            os.close(open_regular(self._path))  # raises what is to say about anything but a file
            self._post(Said({"event": "first", "rows": first_rows(self._path, PAGE)}))
            client = ReaderClient(
                self._path,
                lambda event: self._post(Said(event)),
                lambda then, answer: self._post(Answered(then, answer)),
            )
        except Exception as error:  # noqa: BLE001 - whatever is wrong, the screen must say it
            self._post(Said({"event": "failed", "error": parts(error)}))
            return
        self._client = client
        if self._closed:
            client.close()
            return
        rules, tokenizer = _checked_by(self._session)
        client.ask("configure", lambda answer: None, rules=rules, tokenizer=tokenizer)

    def _post(self, message: Message) -> None:
        with contextlib.suppress(RuntimeError):  # the event loop is gone
            self._screen.post_message(message)


def _checked_by(session: Session) -> tuple[str, str | None]:
    """The workspace's rule set, and the tokenizer.json of the newest base model in it."""
    rules = "calibrated"
    with contextlib.suppress(Exception):  # without settings, the default
        rules = session.workspace.settings.dataset.rules
    found = sorted(session.workspace.runs.glob("*-model-*/artifacts/model/tokenizer.json"))
    return rules, str(found[-1]) if found else None
