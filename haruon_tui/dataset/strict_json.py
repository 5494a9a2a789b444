"""JSON as the standard has it (RFC 8259): no NaN, no key twice, no endless nesting.

Python's own reader takes all three, and a dataset that holds them means something else to the
next program: of two equal keys one is lost, and NaN is no JSON at all.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

MAX_DEPTH = 64
"""Brackets open at once. A record needs four."""

_TOKEN = re.compile(
    r'"(?:[^"\\]+|\\.)*+"?|[\[\]{},:]|-?(?:NaN|Infinity)|[-+.0-9eE]+|[^\s"\[\]{},:]', re.DOTALL
)


class Fault(ValueError):
    """What is wrong with a JSON text, and at which of its characters."""

    def __init__(self, what: str, place: int) -> None:
        super().__init__(what)
        self.what = what
        self.place = place


class _Refused(Exception):
    def __init__(self, what: str, kind: str, text: str) -> None:
        self.what, self.kind, self.text = what, kind, text


def loads(text: str) -> Any:
    """The value that `text` is. Raises Fault."""
    if text.count("[") + text.count("{") > MAX_DEPTH:
        _refuse_depth(text, 0)
    return _read(text, 0, _DECODER.decode)


def read(text: str, start: int) -> tuple[Any, int]:
    """The value that starts at `start` and the place after it. Raises Fault."""
    value, end = _read(text, start, lambda whole: _DECODER.raw_decode(whole, start))
    if text.count("[", start, end) + text.count("{", start, end) > MAX_DEPTH:
        _refuse_depth(text[:end], start)
    return value, end


def _read(text: str, start: int, decode: Callable[[str], Any]) -> Any:
    try:
        return decode(text)
    except json.JSONDecodeError as error:
        what = f"is not valid JSON: {error.msg.removesuffix(' at')}"
        if error.msg.startswith("Unterminated string"):
            what = "is not valid JSON, perhaps cut off: a string is never closed, which starts"
        raise Fault(what, error.pos) from error
    except _Refused as refused:
        raise Fault(refused.what, _place(text, start, refused)) from refused
    except (ValueError, RecursionError) as error:
        raise Fault(f"is not usable JSON: {error}", start) from error


def end_of_value(text: str, start: int) -> int | None:
    """Where the object or array that opens at `start` is closed (the place after it), by its
    brackets alone; None where it is not. It serves to pass over a faulty one."""
    depth = 0
    for token in _TOKEN.finditer(text, start):
        if token[0] in "[{":
            depth += 1
        elif token[0] in "]}":
            depth -= 1
            if depth == 0:
                return token.end()
    return None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _Refused(f"has the key {key[:40]!r} twice in one object", "key", key)
            seen.add(key)
    return made


def _constant(name: str) -> Any:
    raise _Refused(f"holds {name}, which is no JSON; write null or a number", "constant", name)


def _float(written: str) -> float:
    number = float(written)
    if number in (float("inf"), float("-inf")):
        raise _Refused(f"holds the number {written[:40]}, which is too large", "number", written)
    return number


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_constant=_constant, parse_float=_float
)


def _refuse_depth(text: str, start: int) -> None:
    depth = 0
    for token in _TOKEN.finditer(text, start):
        if token[0] in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise Fault(f"is nested deeper than {MAX_DEPTH} levels", token.start())
        elif token[0] in "]}":
            depth -= 1


def _place(text: str, start: int, refused: _Refused) -> int:
    """Where in a text that parses the refused thing stands."""
    if refused.kind != "key":
        return next(
            (at.start() for at in _TOKEN.finditer(text, start) if at[0] == refused.text), start
        )
    open_keys: list[set[str]] = []
    tokens = list(_TOKEN.finditer(text, start))
    for place, token in enumerate(tokens):
        if token[0] in "[{":
            open_keys.append(set())
        elif token[0] in "]}" and open_keys:
            open_keys.pop()
        elif token[0].startswith('"') and place + 1 < len(tokens) and tokens[place + 1][0] == ":":
            key = json.loads(token[0], strict=False)
            if key == refused.text and key in open_keys[-1]:
                return token.start()
            open_keys[-1].add(key)
    return start
