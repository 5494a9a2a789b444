"""Reads a Haruon report: which parts it has, in which order, and the level of each trait.

The form is the guide's: a title, an opening line, one `### trait: level` section per trait with
a body, and a summary. Reading is tolerant of spacing, full-width punctuation, bold marks and the
number of `#`, because models and people vary them; `complete` says whether everything is there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import NamedTuple

from haruon_tui.dataset import persona

TITLE = "title"
OPENING = "opening"
SUMMARY = "summary"

PARTS: tuple[str, ...] = (TITLE, OPENING, *(trait.key for trait in persona.TRAITS), SUMMARY)
"""The keys of the required parts, in their order; a trait's part has the trait's key."""

LONGEST_HEADING = 200
"""A longer line is read as well, but not kept for the next report."""

_TRAIT_KEYS = frozenset(trait.key for trait in persona.TRAITS)
_KEY_OF = {trait.korean: trait.key for trait in persona.TRAITS}
_TRAIT_HEADING = re.compile(rf"({'|'.join(_KEY_OF)}) ?(?:\([^()]*\))? ?(?:: ?(.*))?$")
_LEVEL = re.compile(rf"({'|'.join(persona.LEVELS)}) ?(?:\( ?([^()]*?) ?\))?$")
_PLAIN = str.maketrans({"\uff08": "(", "\uff09": ")", "\uff1a": ":", "*": " "})
_STARTS = ("#", persona.OPENING.split()[0])
_TITLE_WORDS = "".join(persona.TITLE.strip("# ").split())
_SUMMARY_WORDS = "".join(persona.SUMMARY.strip("# ").split())


class Part(NamedTuple):
    """One required part: its own line at [start, end) of the text, and what follows it.

    `written_level` is what stands after the colon of a trait heading, None where there is no
    colon; `level` is the level of the scale it names, None when it names none. `body` is at
    `body_start`, without the blank space around it.
    """

    key: str
    start: int
    end: int
    heading: str
    body: str
    written_level: str | None = None
    level: str | None = None
    remark: str | None = None
    body_start: int = 0

    @property
    def has_body(self) -> bool:
        return any(letter.isalnum() for letter in self.body)


@dataclass(frozen=True)
class Report:
    """The parts that were found, in the order in which they stand."""

    parts: tuple[Part, ...] = ()
    preamble: str = ""
    other_headings: tuple[tuple[int, int], ...] = ()
    """The spans of heading lines that the form does not know."""

    @cached_property
    def missing(self) -> tuple[str, ...]:
        """The keys of the required parts that are not there."""
        there = {part.key for part in self.parts}
        return tuple(key for key in PARTS if key not in there)

    @cached_property
    def in_order(self) -> bool:
        """Whether the parts that are there come once each and in the order of PARTS."""
        places = [PARTS.index(part.key) for part in self.parts]
        return all(place < after for place, after in pairwise(places))

    @cached_property
    def traits(self) -> tuple[Part, ...]:
        """The trait sections, in the order in which they stand."""
        return tuple(part for part in self.parts if part.key in _TRAIT_KEYS)

    @cached_property
    def levels(self) -> dict[str, str]:
        """The level per trait key; a trait without a level of the scale is left out."""
        found: dict[str, str] = {}
        for part in self.traits:
            if part.level is not None:
                found.setdefault(part.key, part.level)
        return found

    @cached_property
    def summary(self) -> str:
        """The text of the summary, empty when there is none."""
        return next((part.body for part in self.parts if part.key == SUMMARY), "")

    @cached_property
    def complete(self) -> bool:
        """Every part once and in order, each trait with a level of the scale, no empty body."""
        return (
            tuple(part.key for part in self.parts) == PARTS
            and all(part.level is not None for part in self.traits)
            and all(part.has_body for part in self.parts if part.key not in (TITLE, OPENING))
        )


def parse(text: str) -> Report:
    """Read `text` as a report. Never raises: of rubbish, every part is missing."""
    return _parse(text) if isinstance(text, str) else Report()


@lru_cache(maxsize=4)  # a report is read again by several checks in a row
def _parse(text: str) -> Report:
    found: list[tuple[Part, int, int]] = []
    other: list[tuple[int, int]] = []
    title_seen = False
    after = 0
    for line in text.split("\n"):
        start, after = after, after + len(line) + 1
        stripped = line.strip()
        if not stripped.startswith(_STARTS):
            continue
        start += line.index(stripped)
        end = start + len(stripped)
        read = _read_line if len(stripped) <= LONGEST_HEADING else _read_line.__wrapped__
        part = read(stripped, title_seen)
        if part is not None:
            title_seen = title_seen or part.key == TITLE
            found.append((part, start, end))
        elif stripped.startswith("#"):
            other.append((start, end))
    first = found[0][1] if found else len(text)
    return Report(_with_bodies(text, found), text[:first].strip(), tuple(other))


@lru_cache(maxsize=256)  # the same few headings stand in every report
def _read_line(line: str, title_seen: bool) -> Part | None:
    """The part that a line without spaces around it begins, at [0, 0)."""
    if not line.startswith("#"):
        opens = title_seen and " ".join(line.split()).startswith(persona.OPENING)
        return Part(OPENING, 0, 0, line, "") if opens else None
    # Plain punctuation and single spaces first: the patterns then take linear time on rubbish.
    heading = " ".join(line.lstrip("#").translate(_PLAIN).split())
    words = heading.rstrip("#: ").replace(" ", "")
    if words == _TITLE_WORDS:
        return Part(TITLE, 0, 0, line, "")
    if words == _SUMMARY_WORDS:
        return Part(SUMMARY, 0, 0, line, "")
    if (named := _TRAIT_HEADING.match(heading)) is None:
        return None
    level, remark = _read_level(named[2])
    return Part(_KEY_OF[named[1]], 0, 0, line, "", named[2], level, remark)


def _read_level(written: str | None) -> tuple[str | None, str | None]:
    match = _LEVEL.match(written.strip()) if written else None
    return (match[1], match[2]) if match else (None, None)


def _with_bodies(text: str, found: list[tuple[Part, int, int]]) -> tuple[Part, ...]:
    parts = []
    following = len(text)
    for part, start, end in reversed(found):
        after = text[end:following]
        body = after.strip()
        key, _, _, heading, _, written, level, remark, _ = part
        at = end + after.index(body)
        parts.append(Part(key, start, end, heading, body, written, level, remark, at))
        following = start
    return tuple(reversed(parts))
