"""The process that searches: `python -m haruon_tui.dataset.browser.search_worker`.

A process of its own, because a regular expression cannot be interrupted from within: whoever
started it kills it.

    {"do": "look", "path"}                     → {"escapes", "decomposed"}
    {"do": "search", "id", "path", "size", "text", "regex", "spelling": what "look" said, or null,
     "changed": [[start, text], ...]}          → {"id", "at", "hits": [start, ...], "done"} ...

A search that is asked before "look" has answered profits from it all the same.
"""

from __future__ import annotations

import queue
import time
from dataclasses import asdict
from typing import Any

from haruon_tui.dataset.browser import search
from haruon_tui.dataset.browser.pipes import Message, Parent

_SAY_SECONDS = 0.1


class _Report:
    """Hands on hits and progress, not more often than is useful."""

    def __init__(self, parent: Parent, id: int) -> None:
        self._parent = parent
        self._id = id
        self._hits: list[int] = []
        self._due = 0.0

    def hit(self, start: int) -> None:
        self._hits.append(start)

    def at(self, byte: int) -> None:
        now = time.monotonic()
        if now >= self._due:
            self._due = now + _SAY_SECONDS
            self.say(byte)

    def say(self, byte: int, **more: Any) -> None:
        self._parent.say({"id": self._id, "at": byte, "hits": self._hits, **more})
        self._hits = []


def _search(parent: Parent, asked: Message, looked: search.Spelling) -> None:
    report = _Report(parent, asked["id"])
    query = search.Query(asked["text"], asked["regex"])
    changed: dict[int, str] = dict(asked["changed"])
    spelling = search.Spelling(**asked["spelling"]) if asked["spelling"] else looked
    wanted = [] if query.regex else search.forms(query.text, spelling)
    report.say(0)
    with open(asked["path"], "rb", buffering=0) as stream:
        for block in search.blocks(stream, max(map(len, wanted), default=4096)):
            if query.regex:
                found = search.lines_with_match(block, query, report.at)
            else:
                found = search.lines_with_text(block, query, wanted)
            for start in found:
                if start not in changed:
                    report.hit(start)
            report.at(block.start + block.end)
            if block.start + block.end >= asked["size"]:  # what came since is not indexed yet
                break
    for start, text in sorted(changed.items()):
        report.at(start)
        if query.in_line(text.encode("utf-8", "surrogatepass")):
            report.hit(start)
    report.say(asked["size"], done=True)


def main() -> None:
    parent = Parent()
    inbox: queue.SimpleQueue[Message] = queue.SimpleQueue()
    parent.listen(inbox.put)
    looked = search.Spelling()
    while True:
        asked = inbox.get()
        try:
            if asked["do"] == "look":
                with open(asked["path"], "rb", buffering=0) as stream:
                    looked = search.spelling_of(stream)
                parent.say(asdict(looked))
            else:
                _search(parent, asked, looked)
        except OSError as error:
            problem = f"cannot be read: {error.strerror or error}"
            parent.say({"id": asked.get("id"), "problem": problem, "done": True})


if __name__ == "__main__":
    main()
