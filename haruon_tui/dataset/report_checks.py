"""Checks of a report: its parts and their order, levels, lengths, letters, persona, quotations."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import lru_cache

from haruon_tui.dataset import persona, persona_scores, quotations
from haruon_tui.dataset.characters import look
from haruon_tui.dataset.hit import Hit
from haruon_tui.dataset.report import PARTS, SUMMARY, TITLE, Part, Report, trait_heading
from haruon_tui.dataset.rules import Rule

_TRAITS = {trait.key: trait for trait in persona.TRAITS}
_BREAK = re.compile(r"(?<=[.!?])\s+")
_WIDE_BREAK = re.compile(r"\.(?:\s\s|[^\S ])")

SHORTEST_REPEATED = 12
"""Characters; a shorter sentence may well come twice."""


def required(rule: Rule, text: str, report: Report) -> Iterator[Hit]:
    for word in rule.values:
        if word not in text:
            yield Hit(f"'{word}'")


def sections(rule: Rule, text: str, report: Report) -> Iterator[Hit]:
    for key in report.missing:
        yield Hit(f"'{_form_of(key)}'")


def order(rule: Rule, text: str, report: Report) -> Iterator[Hit]:
    furthest = -1
    for part in report.parts:
        place = PARTS.index(part.key)
        if place <= furthest:
            twice = sum(part.key == other.key for other in report.parts) > 1
            detail = "twice" if twice else f"after '{_form_of(PARTS[furthest])}'"
            yield Hit(f"'{_form_of(part.key)}' comes {detail}", "", part.start, part.end)
        furthest = max(furthest, place)


def bodies(rule: Rule, text: str, report: Report) -> Iterator[Hit]:
    for part in report.parts:
        if (part.key in _TRAITS or part.key == SUMMARY) and not part.has_body:
            yield Hit("", "", part.start, part.end)


def levels(rule: Rule, text: str, report: Report) -> Iterator[Hit]:
    for part in report.traits:
        if part.level is None:
            written = part.written_level
            detail = f"'{written[:40]}' is not on it" if written else "none is written"
            yield Hit(detail, "", part.start, part.end)


def headings(rule: Rule, text: str, report: Report) -> Iterator[Hit]:
    for part in report.parts:
        if (wanted := _exact_heading(part)) and part.heading != wanted:
            yield Hit(f"the form has '{wanted}'", "", part.start, part.end)
    for start, end in report.other_headings:
        yield Hit("the form has no such heading", "", start, end)


def preamble(rule: Rule, text: str, report: Report) -> Iterator[Hit]:
    if report.preamble and report.parts:
        yield Hit("", "", *_span_of_start(text, report.parts[0].start))


def _span_of_start(text: str, end: int) -> tuple[int, int]:
    before = text[:end]
    return len(before) - len(before.lstrip()), len(before.rstrip())


def _form_of(key: str) -> str:
    if key in _TRAITS:
        return _TRAITS[key].heading
    return {TITLE: persona.TITLE, SUMMARY: persona.SUMMARY}.get(key, persona.OPENING)


def _exact_heading(part: Part) -> str | None:
    if part.key not in _TRAITS:
        return _form_of(part.key)
    if part.level is None:
        return None  # the rule on levels has spoken
    return trait_heading(part.key, part.level, part.remark)


def section_length(rule: Rule, text: str, report: Report) -> Iterator[Hit]:
    """Trait sections between `bar` and `limit` characters."""
    for part in report.traits if report.complete else ():
        yield from _outside(rule, part)


def summary_length(rule: Rule, text: str, report: Report) -> Iterator[Hit]:
    for part in report.parts if report.complete else ():
        if part.key == SUMMARY:
            yield from _outside(rule, part)


def _outside(rule: Rule, part: Part) -> Iterator[Hit]:
    length = len(part.body)
    if not (rule.bar or 0) <= length <= (rule.limit or length):
        detail = f"{length} characters; {rule.bar:.0f} to {rule.limit:.0f} are fine"
        yield Hit(detail, "", part.body_start, part.body_start + length)


def report_length(rule: Rule, text: str, report: Report) -> Iterator[Hit]:
    if report.complete and not (rule.bar or 0) <= len(text) <= (rule.limit or len(text)):
        detail = f"{len(text)} characters; {rule.bar:.0f} to {rule.limit:.0f} are fine"
        yield Hit(detail)


def repeated(rule: Rule, text: str, report: Report) -> Iterator[Hit]:
    """Sentences that stood in the report before."""
    if report.exact and "!" not in text and "?" not in text:  # a quick look
        bodies = ". ".join([part.body.removesuffix(".") for part in report.parts if part.body])
        pieces = bodies.split(". ")
        if len(set(pieces)) == len(pieces) and not _WIDE_BREAK.search(bodies):
            return
    seen: set[str] = set()
    for part in report.parts:
        at = part.body_start
        for sentence in _BREAK.split(part.body) if part.body else ():
            at = text.index(sentence, at)
            if len(sentence) >= SHORTEST_REPEATED and sentence in seen:
                yield Hit("", "", at, at + len(sentence))
            seen.add(sentence)
            at += len(sentence)


def letters(rule: Rule, text: str, report: Report) -> Iterator[Hit]:
    """Letters of the rule's pattern, outside headings and quotations, but for `values`."""
    if rule.regex is None or (report.exact and look(text).usual):
        return
    for start, end in _odd_letters(text):
        match = rule.regex.match(text, start)
        if match is not None and match[0] not in rule.values:
            places = [(part.start, part.end) for part in report.parts]
            places += [found.span() for found in quotations.QUOTED.finditer(text)]
            if not any(left <= start < right for left, right in places):
                yield Hit("", "", start, max(end, match.end()))


@lru_cache(maxsize=2)  # several rules look at the letters of one text
def _odd_letters(text: str) -> tuple[tuple[int, int], ...]:
    """The spans of letters that are no Hangul syllables, those of the usual headings left out."""
    return tuple(match.span() for match in _ODD.finditer(text) if match[0] not in _HEADING_WORDS)


_ODD = re.compile(  # one set of letters, so that the search passes over all others at once
    r"[A-Za-z\u00c0-\u10ff\u1200-\u1fff\u3041-\u31ff\u3400-\u9fff\uf900-\ufaff]+[0-9]?"
)
_HEADING_WORDS = frozenset({"Big5", *(trait.english for trait in persona.TRAITS)})


OF_THE_FORM: tuple[Callable[[Rule, str, Report], Iterator[Hit]], ...] = (
    sections,
    order,
    bodies,
    levels,
    headings,
    preamble,
)
"""Checks that find nothing in an exact report."""


def persona_quality(name: str) -> Callable[[Rule, str, Report], Iterator[Hit]]:
    """A check that the score `name` of a complete report reaches the rule's bar."""

    def check(rule: Rule, text: str, report: Report) -> Iterator[Hit]:
        score = persona_scores.SCORES[name](rule, report) if report.complete else 1.0
        if rule.bar is not None and score < rule.bar:
            yield Hit(f"{score:.2f}; {rule.bar:.2f} is wanted")

    return check


def said(rule: Rule, text: str, report: Report, answers: str) -> Iterator[Hit]:
    """Quoted phrases of which at least `bar` of the content words were said.

    In the summary, a phrase that is no sentence names a type ('지킴이') and is no quotation.
    """
    for start, phrase in quotations.phrases(text, but_not_in=answers):
        part = next((part for part in reversed(report.parts) if part.end <= start), None)
        if part is None or (part.key == SUMMARY and quotations.is_a_name(phrase)):
            continue
        share = quotations.share_said(phrase, answers)
        if share < (rule.bar or 0):
            yield Hit(f"{share:.0%} of its words were said", "", start, start + len(phrase))


CHECKS: dict[str, Callable[[Rule, str, Report], Iterator[Hit]]] = {
    "required": required,
    "sections": sections,
    "order": order,
    "bodies": bodies,
    "levels": levels,
    "headings": headings,
    "preamble": preamble,
    "section-length": section_length,
    "summary-length": summary_length,
    "report-length": report_length,
    "repeated": repeated,
    "letters": letters,
    **{f"persona-{name}": persona_quality(name) for name in persona_scores.SCORES},
}
