"""A record as text to read: each message with what was found in it, marked where it stands."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from textual.content import Content

from haruon_tui.dataset.browser.search import Query
from haruon_tui.dataset.persona import LEVELS, SYSTEM_PROMPT, TRAITS
from haruon_tui.screens.plain_text import one_line, plain

MAX_CHARACTERS = 20_000
"""Of each text; the findings beyond are listed all the same."""

_COLOURS = {"error": "$text-error", "warning": "$text-warning"}
_HIT = "reverse"

Finding = dict[str, Any]


class _Pieces:
    """Texts with their styles, from which a Content is assembled, and the characters at which
    the hits of the search and the findings stand."""

    def __init__(self) -> None:
        self._pieces: list[tuple[str, str]] = []
        self._length = 0
        self._hits: list[int] = []
        self._found: list[int] = []

    def add(self, text: str, style: str = "") -> None:
        self._pieces.append((text, style))
        self._length += len(text)

    def mark_hit(self) -> None:
        self._hits.append(self._length)

    def mark_finding(self) -> None:
        self._found.append(self._length)

    def shown(self) -> Shown:
        return Shown(Content.assemble(*self._pieces), self._hits, self._found)


@dataclass(frozen=True)
class Shown:
    """A record to read; `hits` of the search and `found` are characters of the content."""

    content: Content
    hits: list[int]
    found: list[int]


def record_text(
    record: dict[str, Any], findings: list[Finding] | None, query: Query | None
) -> Shown:
    """`record` as Document.record gives it; `findings` are None while they are not known."""
    text = _Pieces()
    text.add(_title(record), style="bold")
    if record["bad"] and record["bad"] != "blank line":
        text.add("This line is no record.\n", style="bold $text-error")
        text.add(f"{one_line(record['bad'])}\n\n")
        text.add("Its text:\n", style="bold")
        _append(text, record["text"] or "(too long to show)", [], query)
        return text.shown()
    if record["bad"]:
        text.add("A blank line: it counts as no record.\n")
        return text.shown()
    _verdict(text, findings)
    numbered = list(enumerate(findings or [], start=1))
    paths = {part["path"] for part in record["parts"]}
    for number, found in numbered:
        if found["path"] not in paths:
            _explain(text, number, found)
    for part in record["parts"]:
        here = [(number, found) for number, found in numbered if found["path"] == part["path"]]
        name = one_line(part["name"])
        text.add(f"\n {name} ", style="bold reverse")
        if part["text"] == SYSTEM_PROMPT and not here and not _hits(part["text"], query):
            text.add("  the guide's prompt, word for word\n", style="dim")
            continue
        text.add("\n")
        _append(text, part["text"], here, query)
        text.add("\n")
        for number, found in here:
            _explain(text, number, found)
    return text.shown()


def _title(record: dict[str, Any]) -> str:
    """One line: which record, its levels, its decision."""
    words = [f"line {record['line'] + 1}", f"byte {record['start']:,}", f"{record['bytes']:,} B"]
    if record["edited"]:
        words.append("changed")
    if record["decision"]:
        reason = f": {one_line(record['reason'])}" if record["reason"] else ""
        words.append(f"{record['decision']}ed{reason}")
    levels = [
        f"{trait.korean} {LEVELS[level - 1]}"
        for trait, level in zip(TRAITS, record["levels"], strict=True)
        if level
    ]
    return "  ".join(words) + (f"\n{', '.join(levels)}" if levels else "") + "\n"


def _verdict(text: _Pieces, findings: list[Finding] | None) -> None:
    if findings is None:
        text.add("being checked …\n", style="italic")
        return
    errors = sum(found["severity"] == "error" for found in findings)
    if not findings:
        text.add("✓ nothing found\n", style="$text-success")
        return
    warnings = len(findings) - errors
    style = _COLOURS["error" if errors else "warning"]
    text.add(f"{'✗' if errors else '!'} {errors} errors, {warnings} warnings: ", style=style)
    text.add(", ".join(dict.fromkeys(one_line(found["rule"]) for found in findings)) + "\n")


def _explain(text: _Pieces, number: int, found: Finding) -> None:
    style = _COLOURS[found["severity"]]
    text.add(f"  [{number}] {found['severity']} {one_line(found['rule'])}: ", style=style)
    text.add(one_line(found["message"]))
    if found["path"] not in ("$",) and found["start"] is None:
        text.add(f"  ({one_line(found['path'])})", style="dim")
    if found["suggestion"]:
        text.add(f"\n      → {one_line(found['suggestion'])}", style="italic")
    text.add("\n")


def _append(
    text: _Pieces, content: str, found: Iterable[tuple[int, Finding]], query: Query | None
) -> None:
    """Add `content`, made plain piece by piece, so that spans keep their place."""
    shown = content[:MAX_CHARACTERS]
    marks = [
        (one["start"], min(one["end"], len(shown)), number, one["severity"])
        for number, one in found
        if one["start"] is not None and one["end"] is not None and one["start"] < len(shown)
    ]
    hits = _hits(shown, query)
    edges = {0, len(shown)}
    for start, end, *_ in marks:
        edges |= {start, end}
    for start, end in hits:
        edges |= {start, end}
    places = sorted(edges)
    for start, end in pairwise(places):
        covering = [mark for mark in marks if mark[0] <= start and end <= mark[1]]
        severities = {mark[3] for mark in covering}
        worst = "error" if "error" in severities else "warning"
        styles = [f"bold underline {_COLOURS[worst]}"] if covering else []
        if any(hit[0] <= start and end <= hit[1] for hit in hits):
            styles.append(_HIT)
            text.mark_hit()
        if any(mark[0] == start for mark in covering):
            text.mark_finding()
        text.add(plain(shown[start:end]), style=" ".join(styles))
        for _, last, number, severity in marks:
            if last == end:
                text.add(f"[{number}]", style=f"bold {_COLOURS[severity]}")
    if len(content) > len(shown):
        text.add(f"\n… {len(content) - len(shown):,} characters more", style="italic")


def _hits(shown: str, query: Query | None) -> list[tuple[int, int]]:
    return query.spans(shown) if query else []
