"""Which lines are shown, and in which order."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from haruon_tui.dataset.browser.document import Document
from haruon_tui.dataset.browser.line_index import Offsets
from haruon_tui.dataset.browser.summaries import Summaries

_REFRESH_SECONDS = 1.0


class View:
    """A filter and a sort over the lines of a document; at first all lines as they are.

    `version` changes whenever other lines are shown, or a shown one has changed.
    """

    def __init__(self) -> None:
        self.version = 0
        self._filter: dict[str, Any] = {}
        self._sort: tuple[str, bool] = ("line", False)
        self._lines: Offsets | None = None
        self._made = 0.0

    @property
    def by_checks(self) -> bool:
        """Whether it depends on what the checks find."""
        by_filter = bool({"verdict", "rule", "level"} & self._filter.keys())
        return by_filter or self._sort[0] not in ("line", "bytes")

    def set(self, filter: dict[str, Any], column: str, descending: bool) -> None:
        """See Summaries.select and Summaries.order. `rebuild` must follow."""
        self._filter = filter
        self._sort = (column, descending)

    def rebuild(self, document: Document, summaries: Summaries) -> bool:
        """Compute it anew; whether other lines are shown now."""
        self._made = time.monotonic()
        before = self._lines
        self._lines = self._computed(document, summaries)
        if before is None or self._lines is None:
            changed = before is not self._lines
        else:
            changed = not np.array_equal(before, self._lines)
        self.version += changed
        return changed

    def due(self) -> bool:
        """Whether it is worth while to compute it anew when more is known."""
        return self._lines is not None and time.monotonic() - self._made > _REFRESH_SECONDS

    def total(self, document: Document) -> int:
        return len(document.index) if self._lines is None else len(self._lines)

    def lines(self, document: Document, first: int, count: int) -> list[int]:
        """The lines at these positions."""
        first = max(0, first)
        if self._lines is None:
            return list(range(first, min(first + count, len(document.index))))
        return [int(line) for line in self._lines[first : first + count]]

    def place(self, document: Document, line: int) -> tuple[int, bool]:
        """The position of a line, else of the nearest one after it; whether it is shown."""
        if self._lines is None:
            return max(0, min(line, len(document.index) - 1)), line < len(document.index)
        exact = np.flatnonzero(self._lines == line)
        if len(exact):
            return int(exact[0]), True
        after = np.flatnonzero(self._lines > line)
        return (int(after[0]) if len(after) else 0), False

    def positions(self, lines: Offsets) -> Offsets:
        """Where these ascending lines are shown, ascending."""
        if self._lines is None:
            return lines
        return np.flatnonzero(np.isin(self._lines, lines))

    def _computed(self, document: Document, summaries: Summaries) -> Offsets | None:
        column, descending = self._sort
        if not self._filter and column == "line" and not descending:
            return None
        decided = {line: said.decision for line, said in document.review.decisions.items()}
        starts = np.array(sorted(document.overlay.edits), np.int64)
        changed = {int(line) for line in document.index.lines_at(starts)}
        lines = summaries.select(self._filter, decided, changed)
        return summaries.order(lines, column, descending, document.index.lengths())


def seek(hits: Offsets, position: int, step: int) -> dict[str, Any]:
    """Of these ascending positions, the next after (step 1) or before (-1) `position`, or the
    first from it on (0); from the other end when there is none ("wrapped")."""
    if not len(hits):
        return {"position": None, "count": 0, "rank": 0, "wrapped": False}
    if step < 0:
        at = int(np.searchsorted(hits, position, "left")) - 1
    else:
        at = int(np.searchsorted(hits, position, "right" if step else "left"))
    wrapped = not 0 <= at < len(hits)
    at %= len(hits)
    return {"position": int(hits[at]), "count": len(hits), "rank": at + 1, "wrapped": wrapped}
