"""Whether what a report quotes was said: quoted phrases against the answers.

A report may quote freely ('예민해지는' for "예민해져요"), so phrases are compared by their content
morphemes, not as substrings. Kiwi is asked only where a cheaper look does not settle it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from haruon_tui.dataset import korean

QUOTED = re.compile(
    r"'[^'\n]{1,200}'|\"[^\"\n]{1,200}\"|‘[^’\n]{1,200}’|“[^”\n]{1,200}”|「[^」\n]{1,200}」"
)
"""A phrase in quotation marks, which stand one character before and after it."""

_CONTENT = ("N", "VV", "VA", "XR", "MAG", "SL", "SN", "SH", "IC", "MM")
_EMPTY = frozenset("하되있없것거수때이그저나더안못")
_WORDS = re.compile(r"[0-9A-Za-z가-힣ㄱ-ㅎㅏ-ㅣ]+")
_STOPS = re.compile(r"[.!?…~]$")
_MAY_END = re.compile(r"[요다죠네군지까나자라]$")

LONGEST_NAME = 24
"""Characters of the name of a type."""


def quoted(text: str, start: int = 0, end: int | None = None) -> Iterator[tuple[int, int]]:
    """The spans of the phrases in quotation marks, without the marks."""
    for match in QUOTED.finditer(text, start, len(text) if end is None else end):
        yield match.start() + 1, match.end() - 1


def share_said(phrase: str, answers: str) -> float:
    """The share of the phrase's content morphemes that the answers hold, 0 to 1.

    1 where the phrase, spaces aside, stands in the answers; also where it has no content word.
    """
    if phrase in answers:
        return 1.0
    words = _WORDS.findall(phrase)
    said = _words_of(answers)
    if "".join(words) in said.run or all(_begins(word, said) for word in words):
        return 1.0
    morphemes = _content(phrase)
    if not morphemes:
        return 1.0
    known = said.morphemes()
    return sum(_is_said(form, known, said) for form in morphemes) / len(morphemes)


def is_a_name(phrase: str) -> bool:
    """Whether a phrase in the summary names a type ('지킴이') and quotes nobody."""
    if len(phrase) > LONGEST_NAME or _STOPS.search(phrase):
        return False
    if not _MAY_END.search(phrase):
        return True
    return korean.analyse(phrase.split()[-1])[-1].tag != "EF"  # 바다 and 한지 are nouns


class _Said:
    """The answers' words: run together, by their first two letters, and as morphemes."""

    def __init__(self, answers: str) -> None:
        words = _WORDS.findall(answers)
        self.run = "".join(words)
        self.words = frozenset(words)
        self.starts = frozenset(word[:2] for word in words)
        self._morphemes: frozenset[str] | None = None

    def morphemes(self) -> frozenset[str]:
        if self._morphemes is None:
            self._morphemes = frozenset(form for word in self.words for form in _content(word))
        return self._morphemes


@lru_cache(maxsize=4)  # all phrases of a report are held against the same answers
def _words_of(answers: str) -> _Said:
    return _Said(answers)


def _begins(word: str, said: _Said) -> bool:
    return word[:2] in said.starts if len(word) > 1 else word in said.words


def _is_said(form: str, known: frozenset[str], said: _Said) -> bool:
    return form in known or (len(form) > 1 and form in said.run)


def _content(text: str) -> tuple[str, ...]:
    return tuple(
        morpheme.form
        for word in text.split()
        for morpheme in korean.analyse(word)
        if morpheme.tag.startswith(_CONTENT) and morpheme.form not in _EMPTY
    )
