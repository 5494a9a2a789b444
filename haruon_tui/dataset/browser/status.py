"""How far everything is: what the reader says a few times a second."""

from __future__ import annotations

import time
from typing import Any

from haruon_tui.dataset.browser.checking import Checking
from haruon_tui.dataset.browser.document import Document
from haruon_tui.dataset.browser.following import Following
from haruon_tui.dataset.browser.pipes import Message
from haruon_tui.dataset.browser.searching import Searching
from haruon_tui.dataset.browser.view import View

_COUNTS_SECONDS = 0.25


class StatusReport:
    """Makes the "status" event, with counts that are renewed not more often than is useful."""

    def __init__(self) -> None:
        self._said: Message = {}
        self._counts: Message = {"checked": 0, "verdicts": {}, "rules": {}}
        self._due = 0.0
        self.stale_decisions = 0

    def news(
        self,
        document: Document,
        following: Following,
        checking: Checking,
        search: Searching,
        view: View,
    ) -> Message | None:
        """The event; None when it would say what the last one said."""
        now = time.monotonic()
        if checking.changed and now >= self._due:
            self._due = now + _COUNTS_SECONDS
            self._counts = checking.summaries.counts()
            checking.changed = False
        status: Message = {
            "event": "status",
            "lines": len(document.index),
            "bytes": document.index.size,
            "indexed": not following.scanning,
            "note": following.note,
            "problem": checking.problem,
            "check_all": checking.all,
            "exact": checking.exact,
            "changed": len(document.overlay.edits),
            "stale_decisions": self.stale_decisions,
            "undo": len(document.done),
            "redo": len(document.undone),
            "total": view.total(document),
            "version": view.version,
            "search": _search(search),
            **self._counts,
        }
        if status == self._said:
            return None
        self._said = status
        return status


def _search(search: Searching) -> dict[str, Any] | None:
    if search.asked is None:
        return None
    return {
        "text": search.asked["text"],
        "count": search.count(),
        "done": search.done,
        "part": min(1.0, search.at / max(1, search.asked["size"])),
        "problem": search.problem,
    }
