"""Korean morphology: eojeols, their morphemes, and what a copula is said of.

The analyser (Kiwi) takes a second and 300 MB to load and reads slowly, so it is loaded
when the first word is asked for, and each distinct word is analysed once.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from functools import cache, lru_cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from kiwipiepy import Kiwi

REMEMBERED_WORDS = 100_000
"""Distinct words whose analysis is kept."""

LONGEST_WORD = 80
"""A longer run without spaces is no Korean word; only its surroundings of interest are read."""

_EOJEOL = re.compile(r"\S+")
_STARTS_WITH_COPULA = re.compile(
    r"[\"'”’)\]*]*(?:입니|이다|이에요|예요|이며|이고|인\b|이었|였|이라|이시|이십)"
)
_AFTER_IL = re.compile(r"수|것|거|겁|지|가능성|때|뿐|테|만큼|듯|리|만정|망정")
_lock = threading.Lock()


class Morpheme(NamedTuple):
    """A morpheme with its Sejong tag, at [start, end) of the analysed text."""

    form: str
    tag: str
    start: int
    end: int


class Eojeol(NamedTuple):
    """A word between spaces, at [start, end) of the text it was found in."""

    text: str
    start: int
    end: int


class Copula(NamedTuple):
    """A copula (`이다` in any form): the noun phrase before it, and where its ending ends.

    `start` and `noun_end` bound the nouns it is said of, `noun_starts` are where each of their
    morphemes begins; `end` is the end of the ending; `closes` is False for an ending that a
    denial may follow (attributive or quotative: `우울증인 것은 아닙니다`).
    """

    start: int
    noun_end: int
    end: int
    noun_starts: frozenset[int]
    closes: bool


def load() -> None:
    """Load the analyser now, so that processes forked from this one share its memory."""
    analyse("입니다")


def analyse(text: str) -> tuple[Morpheme, ...]:
    """The morphemes of a word, or of a few. Asked again, the answer comes from memory."""
    return _analyse(text)


def word_at(text: str, start: int, end: int) -> Eojeol:
    """The eojeol around [start, end), with the next one when that is a copula set apart or the
    noun that tells `우울증일 (수)` from `우울증 일`."""
    first = max(0, start - LONGEST_WORD)
    left = max(first, *(text.rfind(space, first, start) + 1 for space in " \n\t"))
    right = _word_end(text, end)
    following = _AFTER_IL if text[right - 1 : right] == "일" else _STARTS_WITH_COPULA
    if text[right : right + 1] == " " and following.match(text, right + 1):
        right = _word_end(text, right + 1)
    return Eojeol(text[left:right], left, right)


def copulas(morphemes: tuple[Morpheme, ...]) -> Iterator[Copula]:
    """Every copula with a noun before it; quotation marks and parentheses are looked through."""
    for place, morpheme in enumerate(morphemes):
        if morpheme.tag != "VCP":
            continue
        nouns = _nouns_before(morphemes, place)
        ending = next((m for m in morphemes[place + 1 :] if m.tag in ("EF", "EC", "ETM")), None)
        if nouns:
            yield Copula(
                nouns[0].start,
                nouns[-1].end,
                ending.end if ending else morpheme.end,
                frozenset(noun.start for noun in nouns),
                closes=ending is None or not _may_be_denied(ending),
            )


def predicates(morphemes: tuple[Morpheme, ...], stems: frozenset[str]) -> Iterator[Morpheme]:
    """The predicates on one of `stems` (`확실하`) that state: not attributive, not denied.

    Yields a morpheme whose form is the stem and whose span runs to the end of the ending.
    """
    for place in range(len(morphemes)):
        form = ""
        for after in range(place, min(place + 2, len(morphemes))):
            form += morphemes[after].form
            if form not in stems or (place and morphemes[place - 1].tag == "XPN"):
                continue  # a prefix turns the stem round: 불분명하다
            ending = next((m for m in morphemes[after + 1 :] if m.tag != "EP"), None)
            if ending and _states(ending):
                yield Morpheme(form, "VA", morphemes[place].start, ending.end)


def _word_end(text: str, start: int) -> int:
    match = _EOJEOL.match(text, start, start + LONGEST_WORD)
    return match.end() if match else start


def _nouns_before(morphemes: tuple[Morpheme, ...], place: int) -> list[Morpheme]:
    nouns: list[Morpheme] = []
    inside = 0
    for morpheme in reversed(morphemes[:place]):
        if morpheme.form in (")", "\uff09"):
            inside += 1
        elif morpheme.form in ("(", "\uff08"):
            inside -= 1
        elif inside <= 0:
            if morpheme.tag[0] == "N" or morpheme.tag in ("XPN", "XSN", "XR", "SL", "SN", "SH"):
                nouns.insert(0, morpheme)
            elif nouns or morpheme.tag[0] != "S":
                break
    return nouns


def _may_be_denied(ending: Morpheme) -> bool:
    return ending.tag == "ETM" or ending.form.startswith(("라", "ᆫ", "ᆯ"))


def _states(ending: Morpheme) -> bool:
    if ending.tag == "EF":
        return ending.form != "지"
    return ending.tag == "EC" and ending.form in ("고", "며", "으며", "므로", "으므로", "다고")


@lru_cache(maxsize=REMEMBERED_WORDS)
def _analyse(text: str) -> tuple[Morpheme, ...]:
    with _lock:
        tokens = _kiwi().tokenize(text)
    return tuple(
        Morpheme(token.form, token.tag, token.start, token.start + token.len) for token in tokens
    )


@cache
def _kiwi() -> Kiwi:
    from kiwipiepy import Kiwi

    # The dictionaries of names cost half the time and a fifth of the memory; no rule needs them.
    return Kiwi(
        num_workers=1, load_default_dict=False, load_multi_dict=False, load_typo_dict=False
    )
