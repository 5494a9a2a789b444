"""One place where a rule is broken."""

from __future__ import annotations

from typing import NamedTuple


class Hit(NamedTuple):
    """One place where a rule is broken. `detail` adds to the rule's words; `path` is below the
    thing checked; `start` and `end` are characters of the text there. `proven` is False where
    only an estimate says so."""

    detail: str = ""
    path: str = ""
    start: int | None = None
    end: int | None = None
    proven: bool = True
