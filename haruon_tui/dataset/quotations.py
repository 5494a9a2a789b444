"""Whether what a report quotes was said: quoted phrases against the answers.

A report may quote freely ('예민해지는' for "예민해져요"), so phrases are compared by their content
morphemes, not as substrings. Kiwi is asked only where a cheaper look does not settle it.
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import accumulate

from haruon_tui.dataset import korean
from haruon_tui.dataset.characters import look

LONGEST = 200
"""Characters of a quoted phrase."""

QUOTED = re.compile(
    "|".join(
        rf"{left}[^{right}\n]{{1,{LONGEST}}}{right}"
        for left, right in ("''", '""', "‘’", "“”", "「」")
    )
)
"""A phrase in quotation marks, which stand one character before and after it."""

_CONTENT = ("N", "VV", "VA", "XR", "MAG", "SL", "SN", "SH", "IC", "MM")
_EMPTY = frozenset("하되있없것거수때이그저나더안못")
_WORDS = re.compile(r"[0-9A-Za-z가-힣ㄱ-ㅎㅏ-ㅣ]+")
_STOPS = re.compile(r"[.!?…~]$")
_MAY_END = re.compile(r"[요다죠네군지까나자라]$")

LONGEST_NAME = 24
"""Characters of the name of a type."""


def phrases(text: str, but_not_in: str = "") -> list[tuple[int, str]]:
    """The phrases in quotation marks, without the marks, and where each begins; those that stand
    in `but_not_in` are passed over."""
    pieces = text.split("'")
    inside = pieces[1::2]
    pair_off = len(pieces) % 2 and all(inside) and "\n" not in "".join(inside)
    other_marks = '"' in text or not look(text).usual
    if not pair_off or other_marks or max(map(len, inside), default=0) > LONGEST:
        found = [(match.start() + 1, match[0][1:-1]) for match in QUOTED.finditer(text)]
        return [each for each in found if each[1] not in but_not_in]
    wanted = [place for place, phrase in enumerate(inside) if phrase not in but_not_in]
    ends = list(accumulate(map(len, pieces))) if wanted else []
    return [(ends[2 * place] + 2 * place + 1, inside[place]) for place in wanted]


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
