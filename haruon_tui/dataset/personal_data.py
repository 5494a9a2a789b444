"""Finds personal data: Korean phone and resident numbers, e-mail addresses, cards, accounts.

Public short numbers (109, 112, 119, 1393) and service numbers (1577-0199) belong to nobody and are
no finding.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import date
from functools import lru_cache
from typing import NamedTuple

_CANDIDATE = re.compile(r"[+0-9０-９][0-9０-９ .\-–()]{6,28}[0-9０-９]")
_HALF_WIDTH = str.maketrans("０１２３４５６７８９–", "0123456789-")
_MOBILE = re.compile(r"(?:\+?82[ .-]?\(?0?\)?|0)1[016789][ .)-]*\d{3,4}[ .-]*\d{4}")
_LANDLINE = re.compile(
    r"(?:\+?82[ .-]?\(?0?\)?|\(?0)(?:2|3[1-3]|4[1-4]|5[1-5]|6[1-4]|70|50\d)"
    r"\)?[ .-]\d{3,4}[ .-]\d{4}"
)
_RESIDENT = re.compile(r"(\d{2})(\d{2})(\d{2})[ -]{0,3}([1-8])(\d{6})")
_CARD = re.compile(r"\d{4}[ .-]?\d{4}[ .-]?\d{4}[ .-]?\d{1,4}|3[47]\d{2}[ .-]?\d{6}[ .-]?\d{5}")
_ACCOUNT = re.compile(r"\d{2,6}-\d{2,6}-\d{2,8}(?:-\d{1,3})?|\d{10,14}")
_ACCOUNT_WORDS = re.compile(r"계좌|은행|농협|신협|새마을금고|뱅크|입금|송금|통장")
_EMAIL = re.compile(
    r"[A-Za-z0-9][A-Za-z0-9._%+-]{0,63}@"
    r"[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){0,8}\.[A-Za-z]{2,24}"
)
_CONTEXT = 25
"""Characters before and after a number in which a word must say that it is an account."""

_WEIGHTS = (2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5)


class Found(NamedTuple):
    """Personal data at [start, end); `detail` says why it is taken for it."""

    start: int
    end: int
    detail: str


def emails(text: str) -> Iterator[Found]:
    if "@" in text:
        for match in _EMAIL.finditer(text):
            yield Found(*match.span(), "an e-mail address")


def phones(text: str) -> Iterator[Found]:
    yield from (found for kind, found in _numbers(text) if kind == "phone")


def resident_numbers(text: str) -> Iterator[Found]:
    """Numbers of the form YYMMDD-SNNNNNN whose date exists; the century follows from S.

    The check digit proves nothing since October 2020, when the digits after S became random: it is
    told in the detail and decides nothing.
    """
    yield from (found for kind, found in _numbers(text) if kind == "resident")


def bank_numbers(text: str) -> Iterator[Found]:
    """Card numbers that pass the Luhn check, and account numbers beside a word that says so."""
    yield from (found for kind, found in _numbers(text) if kind == "bank")


FINDERS: dict[str, Callable[[str], Iterator[Found]]] = {
    "email": emails,
    "phone": phones,
    "resident-number": resident_numbers,
    "bank-number": bank_numbers,
}


@lru_cache(maxsize=4)  # three rules look at the same numbers
def _numbers(text: str) -> tuple[tuple[str, Found], ...]:
    return tuple(
        (kind, Found(match.start() + found.start, match.start() + found.end, found.detail))
        for match in _CANDIDATE.finditer(text)
        for kind, found in [_classified(match[0].translate(_HALF_WIDTH), text, match)]
        if found
    )


def _classified(
    digits: str, text: str, match: re.Match[str]
) -> tuple[str, Found] | tuple[str, None]:
    if resident := _RESIDENT.search(digits):
        alone = not (digits[: resident.start()][-1:] + digits[resident.end() :][:1]).isdigit()
        if alone and (born := _birthday(resident)):
            checked = "the check digit matches" if _check_digit(resident) else "the date exists"
            return "resident", Found(*resident.span(), f"{born.isoformat()}, {checked}")
    for pattern in (_MOBILE, _LANDLINE):
        if phone := pattern.search(digits):
            return "phone", Found(*phone.span(), "a phone number")
    if (card := _CARD.search(digits)) and _luhn(card[0]):
        return "bank", Found(*card.span(), "a card number; its check digit matches")
    if account := _ACCOUNT.search(digits):
        around = text[max(0, match.start() - _CONTEXT) : match.end() + _CONTEXT]
        if word := _ACCOUNT_WORDS.search(around):
            return "bank", Found(*account.span(), f"a number beside '{word[0]}'")
    return "", None


def _birthday(resident: re.Match[str]) -> date | None:
    year, month, day, sex = (int(resident[group]) for group in (1, 2, 3, 4))
    try:
        return date((2000 if sex in (3, 4, 7, 8) else 1900) + year, month, day)
    except ValueError:
        return None


def _check_digit(resident: re.Match[str]) -> bool:
    digits = [int(digit) for digit in resident[0] if digit.isdigit()]
    total = sum(weight * digit for weight, digit in zip(_WEIGHTS, digits, strict=False))
    return (11 - total % 11) % 10 == digits[-1]


def _luhn(number: str) -> bool:
    digits = [int(digit) for digit in number if digit.isdigit()]
    if len(digits) < 13:
        return False
    doubled = (digit * 2 - 9 * (digit > 4) for digit in digits[-2::-2])
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0
