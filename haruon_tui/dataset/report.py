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
_HEADING_OF = {trait.key: trait.heading for trait in persona.TRAITS}
_FIRST_OF_OPENING = persona.OPENING[0]
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
        return self.body[1:2].isalnum() or any(map(str.isalnum, self.body))


@dataclass(frozen=True)
class Report:
    """The parts that were found, in the order in which they stand."""

    parts: tuple[Part, ...] = ()
    preamble: str = ""
    other_headings: tuple[tuple[int, int], ...] = ()
    """The spans of heading lines that the form does not know."""

    exact: bool = False
    """Complete, with every heading written as the form has it, and nothing besides."""

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
        return (
            self.parts[2:-1]
            if self.exact
            else tuple(part for part in self.parts if part.key in _TRAIT_KEYS)
        )

    @cached_property
    def levels(self) -> dict[str, str]:
        """The level per trait key; a trait without a level of the scale is left out."""
        if self.exact:
            return {part.key: part.level or "" for part in self.traits}
        found: dict[str, str] = {}
        for part in self.traits:
            if part.level is not None:
                found.setdefault(part.key, part.level)
        return found

    @cached_property
    def summary(self) -> str:
        """The text of the summary, empty when there is none."""
        if self.exact:
            return self.parts[-1].body
        return next((part.body for part in self.parts if part.key == SUMMARY), "")

    @cached_property
    def complete(self) -> bool:
        """Every part once and in order, each trait with a level of the scale, no empty body."""
        return self.exact or (
            tuple(part.key for part in self.parts) == PARTS
            and all(part.level is not None for part in self.traits)
            and all(part.has_body for part in self.parts if part.key not in (TITLE, OPENING))
        )


_OPENING_ANYHOW = r"\s+".join(map(re.escape, persona.OPENING.split()))
_BODY = rf"((?!#|{_OPENING_ANYHOW})\S.*\S)"
_USUAL = re.compile(
    rf"{re.escape(persona.TITLE)}\n\n{re.escape(persona.OPENING)}\n\n"
    + "".join(
        rf"({re.escape(heading)}: (({'|'.join(persona.LEVELS)})(?: \(([가-힣]+)\))?))\n{_BODY}\n\n"
        for heading in _HEADING_OF.values()
    )
    + rf"({re.escape(persona.SUMMARY)})\n\n{_BODY}\Z"
)
_TRAIT_GROUPS = tuple((key, 5 * place) for place, key in enumerate(_HEADING_OF))
_FIRST_PARTS = (
    Part(TITLE, 0, len(persona.TITLE), persona.TITLE, "", body_start=len(persona.TITLE)),
    Part(
        OPENING,
        len(persona.TITLE) + 2,
        len(persona.TITLE) + 2 + len(persona.OPENING),
        persona.OPENING,
        "",
        body_start=len(persona.TITLE) + 2 + len(persona.OPENING),
    ),
)


def parse(text: str) -> Report:
    """Read `text` as a report. Never raises: of rubbish, every part is missing."""
    return _parse(text) if isinstance(text, str) else Report()


@lru_cache(maxsize=4)  # a report is read again by several checks in a row
def _parse(text: str) -> Report:
    return _parse_usual(text) or _parse_any(text)


def _parse_usual(text: str) -> Report | None:
    """An exact report with one paragraph per part, read at once; None for any other text."""
    match = _USUAL.match(text)
    if match is None:
        return None
    texts, spans = match.groups(), match.regs[1:]
    parts = list(_FIRST_PARTS)
    for key, at in _TRAIT_GROUPS:
        heading, written, level, remark, body = texts[at : at + 5]
        start, end = spans[at]
        body_start = spans[at + 4][0]
        parts.append(Part(key, start, end, heading, body, written, level, remark, body_start))
    (start, end), (body_start, _) = spans[-2:]
    parts.append(Part(SUMMARY, start, end, texts[-2], texts[-1], body_start=body_start))
    has_bodies = all(part.has_body for part in parts[2:])
    return Report(tuple(parts), "", (), True) if has_bodies else None


def _parse_any(text: str) -> Report:
    found: list[tuple[_Heading, int, int]] = []
    other: list[tuple[int, int]] = []
    title_seen = False
    after = 0
    for line in text.split("\n"):
        start, after = after, after + len(line) + 1
        first = line[:1]
        if first != "#" and first != _FIRST_OF_OPENING and not first.isspace():
            continue
        stripped = line.strip()
        if not stripped.startswith(_STARTS):
            continue
        start += line.index(stripped)
        end = start + len(stripped)
        read = _read_line if len(stripped) <= LONGEST_HEADING else _read_line.__wrapped__
        heading = read(stripped, title_seen)
        if heading is not None:
            title_seen = title_seen or heading.key == TITLE
            found.append((heading, start, end))
        elif stripped.startswith("#"):
            other.append((start, end))
    preamble = text[: found[0][1] if found else len(text)].strip()
    parts = _with_bodies(text, found)
    exact = (
        not preamble
        and not other
        and tuple(part.key for part in parts) == PARTS
        and all(heading.exact for heading, _, _ in found)
        and all(part.has_body for part in parts[2:])
    )
    return Report(parts, preamble, tuple(other), exact)


class _Heading(NamedTuple):
    """What a line says; `exact` is False where the form writes it otherwise."""

    key: str
    line: str
    exact: bool
    written_level: str | None = None
    level: str | None = None
    remark: str | None = None


@lru_cache(maxsize=256)  # the same few headings stand in every report
def _read_line(line: str, title_seen: bool) -> _Heading | None:
    """The heading that a line without spaces around it is."""
    if not line.startswith("#"):
        if title_seen and " ".join(line.split()).startswith(persona.OPENING):
            return _Heading(OPENING, line, line == persona.OPENING)
        return None
    # Plain punctuation and single spaces first: the patterns then take linear time on rubbish.
    heading = " ".join(line.lstrip("#").translate(_PLAIN).split())
    words = heading.rstrip("#: ").replace(" ", "")
    if words == _TITLE_WORDS:
        return _Heading(TITLE, line, line == persona.TITLE)
    if words == _SUMMARY_WORDS:
        return _Heading(SUMMARY, line, line == persona.SUMMARY)
    if (named := _TRAIT_HEADING.match(heading)) is None:
        return None
    key = _KEY_OF[named[1]]
    level, remark = _read_level(named[2])
    exact = level is not None and line == trait_heading(key, level, remark)
    return _Heading(key, line, exact, named[2], level, remark)


def trait_heading(key: str, level: str, remark: str | None = None) -> str:
    """The line that begins a trait's section in the form."""
    return f"{_HEADING_OF[key]}: {level}" + (f" ({remark})" if remark else "")


def _read_level(written: str | None) -> tuple[str | None, str | None]:
    match = _LEVEL.match(written.strip()) if written else None
    return (match[1], match[2]) if match else (None, None)


def _with_bodies(text: str, found: list[tuple[_Heading, int, int]]) -> tuple[Part, ...]:
    parts = []
    following = len(text)
    for (key, line, _, written, level, remark), start, end in reversed(found):
        after = text[end:following]
        body = after.strip()
        at = end + after.index(body)
        parts.append(Part(key, start, end, line, body, written, level, remark, at))
        following = start
    return tuple(reversed(parts))
