"""Checks of any message's text: characters, markup, personal data, language."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator

from haruon_tui.dataset import expressions, personal_data
from haruon_tui.dataset.characters import look
from haruon_tui.dataset.hit import Hit
from haruon_tui.dataset.rules import Rule


def nfc(rule: Rule, text: str) -> Iterator[Hit]:
    if unicodedata.is_normalized("NFC", text):
        return
    for word in re.finditer(r"\S+", text):
        if not unicodedata.is_normalized("NFC", word[0]):
            yield Hit("", "", *word.span())
            return
    yield Hit()


def control(rule: Rule, text: str) -> Iterator[Hit]:
    if look(text).usual:
        return
    for match in _SUSPECT.finditer(text):
        place = match.start()
        if match[0] == _JOINER and place > 0 and _is_emoji(text[place - 1]):
            continue  # joins emoji into one, as in a family
        name = unicodedata.name(match[0][0], "control character")
        detail = "terminal escape sequence" if len(match[0]) > 1 else name.lower()
        yield Hit(f"U+{ord(match[0][0]):04X} {detail}", "", place, match.end())


_JOINER = "\u200d"
_SUSPECT = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|"
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u180e\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffd"
    "\ud800-\udfff]"
)


def _is_emoji(letter: str) -> bool:
    return unicodedata.category(letter) in ("So", "Sk") or letter == "\ufe0f"


def korean(rule: Rule, text: str) -> Iterator[Hit]:
    """At least `bar` of the letters are Hangul."""
    seen = look(text)
    if seen.usual:  # what is not ASCII is Hangul, which takes three bytes
        hangul = (len(seen.utf8) - len(text)) / 2
        letters = hangul + seen.latin
    else:
        hangul = len(_HANGUL.findall(text))
        letters = sum(map(str.isalpha, text))
    share = hangul / letters if letters else 1.0
    if share < (rule.bar or 0):
        yield Hit(f"{share:.0%} of its letters are Hangul")


_HANGUL = re.compile(r"[가-힣ㄱ-ㅎㅏ-ㅣ]")


def substring(rule: Rule, text: str) -> Iterator[Hit]:
    """Every occurrence of a word, with the longer word that it is part of."""
    for start, end in expressions.substring(rule, text):
        left = max(text.rfind(space, 0, start) for space in " \n") + 1
        right = min((at for space in " \n" if (at := text.find(space, end)) >= 0), default=None)
        word = text[left:right].strip(".,'\"!?")
        yield Hit(f"'{text[start:end]}' in '{word[:40]}'", "", start, end)


def _spans(finder: expressions.Finder) -> Callable[[Rule, str], Iterator[Hit]]:
    def check(rule: Rule, text: str) -> Iterator[Hit]:
        for start, end in finder(rule, text):
            yield Hit("", "", start, end)

    return check


def _personal(
    finder: Callable[[str], Iterator[personal_data.Found]],
) -> Callable[[Rule, str], Iterator[Hit]]:
    def check(rule: Rule, text: str) -> Iterator[Hit]:
        for found in finder(text):
            yield Hit(found.detail, "", found.start, found.end)

    return check


CHECKS: dict[str, Callable[[Rule, str], Iterator[Hit]]] = {
    "nfc": nfc,
    "control": control,
    "korean": korean,
    **{name: _spans(finder) for name, finder in expressions.FINDERS.items()},
    **{name: _personal(finder) for name, finder in personal_data.FINDERS.items()},
    "substring": substring,
}
