"""Finds forbidden expressions in a text: spans of characters for one rule."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from haruon_tui.dataset import korean
from haruon_tui.dataset.quotations import QUOTED
from haruon_tui.dataset.rules import Rule

Span = tuple[int, int]
Finder = Callable[[Rule, str], Iterator[Span]]

LONGEST_SENTENCE = 400
"""Characters after an expression in which it may be taken back."""

LONGEST_LEAD = 40
"""Characters before an expression that can give it another meaning."""

_SENTENCE_END = re.compile(r"[.!?\n]")
_COPULA_MAY_FOLLOW = re.compile(
    r"[\"'”’」)\]*\uff09]*(?:[(\uff08][^()\n]{0,40}[)\uff09][\"'”’*]*)?\s?"
    r"[이입인일임였예여에라다네고며죠지야랍군구니므란시세]"
)
"""Forms of the copula begin so, contracted ones after a vowel as well; the analyser decides."""


def substring(rule: Rule, text: str) -> Iterator[Span]:
    """Every occurrence of one of the rule's words, wherever it stands, in the order of the text:
    only so are the first ones the same in a text that goes on."""
    spans = []
    for word in rule.values:
        start = text.find(word)
        while start >= 0:
            spans.append((start, start + len(word)))
            start = text.find(word, start + len(word))
    yield from sorted(spans)


def pattern(rule: Rule, text: str) -> Iterator[Span]:
    """Every match of the rule's pattern that the sentence does not take back."""
    if rule.regex is None:
        return
    spans = (match.span() for match in rule.regex.finditer(text))
    yield from _meant(rule, text, spans)


def copula(rule: Rule, text: str) -> Iterator[Span]:
    """Every `…이다` whose complement ends in one of the rule's words: `우울증입니다`.

    The copula alone decides nothing (`성격입니다` is fine), its complement does. Only words
    that contain one of the rule's words are analysed.
    """
    if rule.words is None:
        return
    for match in rule.words.finditer(text):
        if not _COPULA_MAY_FOLLOW.match(text, match.end()):
            continue
        word = korean.word_at(text, *match.span())
        start, end = match.start() - word.start, match.end() - word.start
        for found in korean.copulas(korean.analyse(word.text)):
            if found.noun_end != end or start not in found.noun_starts:
                continue
            span = match.start(), word.start + found.end
            if _innocent(rule, text, *span):
                continue
            if found.closes or not _taken_back(rule, text, span[1]):
                yield span


def predicate(rule: Rule, text: str) -> Iterator[Span]:
    """Every stating form of one of the rule's adjective stems: `확실합니다`, not `확실한`."""
    stems = frozenset(rule.values)
    roots = "|".join(sorted(re.escape(stem.removesuffix("하")) for stem in stems))
    words = {korean.word_at(text, *match.span()) for match in re.finditer(roots, text)}
    spans = (
        (word.start + found.start, word.start + found.end)
        for word in sorted(words, key=lambda word: word.start)
        for found in korean.predicates(korean.analyse(word.text), stems)
    )
    yield from _meant(rule, text, spans)


FINDERS: dict[str, Finder] = {
    "substring": substring,
    "pattern": pattern,
    "copula": copula,
    "predicate": predicate,
}


def _meant(rule: Rule, text: str, spans: Iterator[Span]) -> Iterator[Span]:
    quoted = [] if rule.in_quotes else [match.span() for match in QUOTED.finditer(text)]
    for start, end in spans:
        in_quotes = any(left < start and end < right for left, right in quoted)
        if in_quotes or _innocent(rule, text, start, end):
            continue
        if not _taken_back(rule, text, end):
            yield start, end


def _innocent(rule: Rule, text: str, start: int, end: int) -> bool:
    """Whether the words before an expression give it another meaning: `꿀 한 병입니다`."""
    if rule.innocent is None:
        return False
    return rule.innocent.search(text[max(0, start - LONGEST_LEAD) : end]) is not None


def _taken_back(rule: Rule, text: str, end: int) -> bool:
    if rule.exception is None:
        return False
    rest = text[end : end + LONGEST_SENTENCE]
    stop = _SENTENCE_END.search(rest)
    return bool(rule.exception.search(rest[: stop.start()] if stop else rest))
