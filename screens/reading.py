"""Files read off the event loop, and JSON lines read a page at a time."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from textual.message_pump import MessagePump

MAX_PAGE = 200
"""Lines read at once."""

_MAX_LINE_BYTES = 4 << 20

Value = TypeVar("Value")


def read_off_loop(
    pump: MessagePump, read: Callable[[], Value], then: Callable[[Value], None]
) -> None:
    """Call `read` in a thread, then `then` with its value on the event loop of `pump`.

    What `read` raises is told to the user. A daemon thread, not a Textual worker: quitting must
    not wait for a slow disk.
    """
    app = pump.app

    def deliver(value: Value) -> None:
        if app.is_running:  # else the widgets are being taken down
            then(value)

    def work() -> None:
        from haruon_tui.screens.engine import parts
        from haruon_tui.screens.session import Notice

        with contextlib.suppress(RuntimeError):  # the event loop is gone
            try:
                value = read()
            except Exception as error:  # noqa: BLE001 - whatever is wrong, the screen must say it
                app.post_message(Notice("\n".join(parts(error).values()), "error"))
            else:
                pump.call_later(deliver, value)

    threading.Thread(target=work, name="reading", daemon=True).start()


@dataclass(frozen=True)
class Page:
    """Lines of a JSONL file. `first` is the number of the first one, from 1; `start` and `next`
    are bytes of the file, `next` None at its end. A line that is no object is None."""

    first: int
    start: int
    next: int | None
    items: tuple[dict[str, Any] | None, ...]


def read_page(path: Path, start: int = 0, first: int = 1, count: int = MAX_PAGE) -> Page:
    """At most `count` lines from byte `start` on. Raises OSError."""
    items: list[dict[str, Any] | None] = []
    with path.open("rb") as stream:
        stream.seek(start)
        while len(items) < count and (line := stream.readline(_MAX_LINE_BYTES)):
            items.append(_item(line))
        here = stream.tell()
        more = bool(stream.read(1))
    return Page(first, start, here if more else None, tuple(items))


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object. Raises OSError, and ValueError for anything else."""
    loaded = json.loads(path.read_bytes())
    if not isinstance(loaded, dict):
        raise ValueError(f"{path}: is no JSON object")
    return loaded


def _item(line: bytes) -> dict[str, Any] | None:
    try:
        loaded = json.loads(line)
    except ValueError:
        return None
    return loaded if isinstance(loaded, dict) else None
