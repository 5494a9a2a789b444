"""A search under way: the process that does it, the hits so far, and the time it may take."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from haruon_tui.dataset.browser.line_index import Offsets
from haruon_tui.dataset.browser.pipes import Child, Message
from haruon_tui.dataset.browser.search import Query

STUCK_SECONDS = 5.0
"""A regular expression that works on one line for so long is ended."""


class Searching:
    """At most one search at a time. `post` puts a call into the reader's queue."""

    def __init__(self, post: Callable[[Callable[[], None]], None]) -> None:
        self._post = post
        self._child: Child | None = None
        self._spelling: Message | None = None
        self._number = 0
        self._heard = 0.0
        self._hits: list[list[int]] = []
        self.asked: Message | None = None
        self.at = 0
        self.done = True
        self.problem = ""

    def look(self, path: str) -> None:
        """Find out how the file spells its texts, so that a search need not try every way."""
        self._spelling = None
        self._say({"do": "look", "path": path})

    def start(self, path: str, size: int, text: str, regex: bool, changed: list[Any]) -> None:
        """Search anew. Raises search.BadPattern."""
        Query(text, regex)
        if not self.done:
            self.stop()
        self._number += 1
        self._hits, self.at, self.done, self.problem = [], 0, False, ""
        self._heard = time.monotonic()
        self.asked = {
            "do": "search",
            "id": self._number,
            "path": path,
            "size": size,
            "text": text,
            "regex": regex,
            "changed": changed,
            "spelling": self._spelling,
        }
        self._say(self.asked)

    def stop(self) -> None:
        """End the search; its hits stay."""
        if self._child is not None:
            self._child.kill()
            self._child = None
        self.done = True

    def clear(self) -> None:
        """Forget the search."""
        if not self.done:
            self.stop()
        self.asked, self._hits, self.problem = None, [], ""

    def watch(self) -> None:
        """End a regular expression that is stuck on one line."""
        stuck = time.monotonic() - self._heard > STUCK_SECONDS
        if not self.done and stuck and self.asked and self.asked["regex"]:
            self.stop()
            self.problem = (
                f"ended: the expression took over {STUCK_SECONDS:.0f} s on the line at byte "
                f"{self.at}; make it simpler, for instance without a repeat inside a repeat"
            )

    def line_changed(self, start: int, by: int, raw: bytes) -> None:
        """The line at `start` is `raw` now, and those after it start `by` bytes later. Only for
        a search that is done; another one is started again."""
        assert self.asked is not None
        assert self.done
        hits = self.starts()
        hits = hits[hits != start] + by * (hits[hits != start] > start)
        if Query(self.asked["text"], self.asked["regex"]).in_line(raw):
            hits = np.append(hits, start)
        self._hits = [hits.tolist()]

    def count(self) -> int:
        return sum(map(len, self._hits))

    def starts(self) -> Offsets:
        """Where the lines with hits start, ascending."""
        found = [np.array(hits, np.int64) for hits in self._hits]
        return np.unique(np.concatenate(found)) if found else np.zeros(0, np.int64)

    def _say(self, message: Message) -> None:
        if self._child is None or not self._child.send(message):
            module = "haruon_tui.dataset.browser.search_worker"
            self._child = Child(
                module,
                lambda heard: self._post(lambda: self._take(heard)),
                lambda words: self._post(lambda: self._ended(words)),
            )
            self._child.send(message)

    def _take(self, heard: Message) -> None:
        if "escapes" in heard:
            self._spelling = heard
        elif heard.get("id") == self._number and not self.done:
            self._heard = time.monotonic()
            self.at = heard.get("at", self.at)
            self.problem = heard.get("problem", "")
            self.done = heard.get("done", False)
            if heard.get("hits"):
                self._hits.append(heard["hits"])

    def _ended(self, words: str) -> None:
        self._child = None
        if not self.done:
            self.done, self.problem = True, words
