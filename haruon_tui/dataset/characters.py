"""A quick look at a text's characters, so that usual texts are not searched for unusual ones."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from haruon_tui.dataset import persona

_HANGUL_LEADS = range(0xEA, 0xEE)
"""First bytes in UTF-8 of U+A000 to U+D7FF: the Hangul syllables, and no control, Latin, Chinese,
Japanese, Greek, Cyrillic, Thai or single jamo."""

_USUAL = bytes(
    byte
    for byte in range(256)
    if byte in _HANGUL_LEADS
    or 0x80 <= byte < 0xC0  # what follows a first byte
    or byte in b"\t\n"
    or (0x20 <= byte < 0x7F and not chr(byte).isalpha())
)
_LATIN_OF_HEADINGS = "".join(
    letter
    for text in (persona.TITLE, *(trait.heading for trait in persona.TRAITS))
    for letter in text
    if letter.isascii() and letter.isalpha()
).encode()


class Look(NamedTuple):
    """`utf8` is the text (half surrogate pairs as `?`); `usual` is True where beside Hangul,
    digits, and ASCII marks, spaces and line breaks it holds no letters but those of the headings
    in their order; `latin` are so many letters, where it is usual."""

    utf8: bytes
    usual: bool
    latin: int


@lru_cache(maxsize=4)  # several checks look at one text
def look(text: str) -> Look:
    """The bytes of a text, and whether they hold anything unusual."""
    try:
        utf8 = text.encode()
    except UnicodeEncodeError:
        return Look(text.encode("utf-8", "replace"), False, 0)
    rest = utf8.translate(None, _USUAL)
    return Look(utf8, rest in (b"", _LATIN_OF_HEADINGS), len(rest))
