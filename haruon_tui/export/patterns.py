"""Python's regular expressions as JavaScript's, with the same matches.

For patterns with the flags `u` of ECMAScript 2018, which Hermes and Node understand: no inline
flags, no Unicode properties. Classes that mean more in Python (`\\d`, `\\s`) are written out.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Callable, Iterable
from functools import cache

Range = tuple[int, int]
"""The first and the last code point."""

_SYNTAX = frozenset("^$\\.*+?()[]{}|/")
_QUANTIFIER = re.compile(r"\{(\d*)(,?)(\d*)\}")
_GROUP = re.compile(r"\(\?(?::|=|!|<=|<!|([im]+):)")
_CONTROLS = frozenset("nrtfv")


def javascript(pattern: str) -> str:
    """The source of a JavaScript pattern, for the flag `u`, that matches as `pattern` does.

    Raises ValueError for what cannot be said in JavaScript; capturing groups are left out of
    what is known here.
    """
    return _Translation(pattern).source()


class _Translation:
    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._at = 0
        self._flags = [""]
        self._out: list[str] = []

    def source(self) -> str:
        while self._at < len(self._pattern):
            self._next()
        return "".join(self._out)

    def _next(self) -> None:
        rest = self._pattern[self._at :]
        sign = rest[0]
        if sign == "\\":
            self._escape(rest)
        elif sign == "[":
            self._class()
        elif sign == "(":
            self._group(rest)
        elif sign == ")":
            self._flags.pop()
            self._take(1, ")")
        elif sign == "{" and (quantifier := _QUANTIFIER.match(rest)) and any(quantifier.groups()):
            least, comma, most = quantifier.groups()
            self._take(len(quantifier[0]), f"{{{least or 0}{comma}{most}}}")
        elif sign in "{}]":
            self._take(1, f"\\{sign}")
        elif sign == ".":
            self._take(1, r"[^\n]")
        elif sign == "^":
            self._take(1, r"(?<![^\n])" if "m" in self._flags[-1] else "^")
        elif sign == "$":
            self._take(1, r"(?=\n|$)" if "m" in self._flags[-1] else r"(?=\n?$)")
        elif "i" in self._flags[-1] and sign.isalpha():
            if not sign.isascii():
                raise ValueError(f"{sign!r} without regard to case")
            self._take(1, f"[{sign.lower()}{sign.upper()}]")
        else:
            self._take(1, sign)

    def _take(self, length: int, written: str) -> None:
        self._at += length
        self._out.append(written)

    def _escape(self, rest: str) -> None:
        sign = rest[1]
        if sign in "ds":
            self._take(2, f"[{_class_of(sign)}]")
        elif sign in "DS":
            self._take(2, f"[^{_class_of(sign.lower())}]")
        elif sign == "Z":
            self._take(2, "$")
        else:
            self._escaped(sign)

    def _escaped(self, sign: str) -> None:
        if sign in "ux":
            length = 6 if sign == "u" else 4
            self._take(length, self._pattern[self._at : self._at + length])
        elif sign in _CONTROLS or sign in _SYNTAX:
            self._take(2, f"\\{sign}")
        elif sign.isalnum():
            raise ValueError(f"\\{sign} in {self._pattern!r}")
        else:
            self._take(2, sign)

    def _group(self, rest: str) -> None:
        if group := _GROUP.match(rest):
            flags = self._flags[-1] + (group[1] or "")
            self._take(len(group[0]), "(?:" if group[1] else group[0])
        elif rest.startswith("(?"):
            raise ValueError(f"{rest[:4]} in {self._pattern!r}")
        else:
            flags = self._flags[-1]
            self._take(1, "(")
        self._flags.append(flags)

    def _class(self) -> None:
        if "i" in self._flags[-1]:
            raise ValueError(f"a class without regard to case in {self._pattern!r}")
        self._take(1, "[")
        if self._pattern[self._at] == "^":
            self._take(1, "^")
        first = True
        while (sign := self._pattern[self._at]) != "]" or first:
            first = False
            if sign == "\\" and self._pattern[self._at + 1] in "ds":
                self._take(2, _class_of(self._pattern[self._at + 1]))
            elif sign == "\\" and self._pattern[self._at + 1] == "-":
                self._take(2, r"\-")
            elif sign == "\\":
                self._escaped(self._pattern[self._at + 1])
            else:
                self._take(1, f"\\{sign}" if sign in "[]^" else sign)
        self._take(1, "]")


@cache
def _class_of(sign: str) -> str:
    """What stands between the brackets for `\\d` or `\\s`, below U+10000."""
    found = ranges(str.isdecimal if sign == "d" else str.isspace, range(0x10000))
    return "".join(
        _spelled(first) + (f"-{_spelled(last)}" if last > first else "") for first, last in found
    )


def _spelled(point: int) -> str:
    return f"\\u{point:04x}"


def ranges(holds: Callable[[str], bool], points: Iterable[int] | None = None) -> list[Range]:
    """The runs of code points of which `holds` is true."""
    found: list[Range] = []
    for point in points or range(sys.maxunicode + 1):
        if holds(chr(point)):
            if found and found[-1][1] == point - 1:
                found[-1] = (found[-1][0], point)
            else:
                found.append((point, point))
    return found


@cache
def character_tables() -> dict[str, list[Range]]:
    """What Python takes for a space, a digit, a letter, a letter or digit, and a symbol: the same
    everywhere, whatever Unicode version a phone's engine has."""
    return {
        "spaces": ranges(str.isspace),
        "digits": ranges(str.isdigit),
        "letters": ranges(str.isalpha),
        "alphanumeric": ranges(str.isalnum),
        "symbols": ranges(lambda letter: unicodedata.category(letter) in ("So", "Sk")),
    }
