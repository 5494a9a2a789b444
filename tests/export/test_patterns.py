"""Patterns of the rules as JavaScript: what cannot be said there is refused, not said wrongly."""

from __future__ import annotations

import pytest

from haruon_tui.dataset import rules
from haruon_tui.export.patterns import character_tables, javascript


@pytest.mark.parametrize(
    ("python", "wanted"),
    [
        ("(?i:ab1)", "(?:[aA][bB]1)"),
        ("(?m:^#{2,3} x$)", r"(?:(?<![^\n])#{2,3} x(?=\n|$))"),
        (".{,3}$", r"[^\n]{0,3}(?=\n?$)"),
        ("a{b}]", r"a\{b\}\]"),
        (r"\-\.\"", r'-\."'),
        (r"[^]\-가-힣]", r"[^\]\-가-힣]"),
        ("(?<!x)(?=y)", "(?<!x)(?=y)"),
    ],
)
def test_what_javascript_says_otherwise_is_translated(python: str, wanted: str) -> None:
    assert javascript(python) == wanted


def test_digits_and_spaces_mean_what_they_mean_in_python() -> None:
    assert r"\uff10-\uff19" in javascript(r"\d")
    assert r"\u3000" in javascript(r"[a\s]")
    assert r"\ufeff" not in javascript(r"\s")


@pytest.mark.parametrize("python", [r"\bword", r"\w+", "(?P<name>x)", "(?i:[a-z])", "(?i:é)"])
def test_what_cannot_be_said_is_refused(python: str) -> None:
    with pytest.raises(ValueError):
        javascript(python)


@pytest.mark.parametrize("name", rules.NAMES)
def test_every_pattern_of_the_rule_sets_can_be_said(name: str) -> None:
    for rule in rules.load(name).rules:
        for pattern in filter(None, (rule.pattern, rule.unless, rule.but_not)):
            assert javascript(pattern)


def test_the_tables_are_those_of_python() -> None:
    tables = character_tables()
    for name, holds in (
        ("spaces", str.isspace),
        ("letters", str.isalpha),
        ("digits", str.isdigit),
    ):
        for letter in " \u3000\x1c\ufeff가ㅋ漢aé9½²０😀\u200b":
            inside = any(first <= ord(letter) <= last for first, last in tables[name])
            assert inside == holds(letter), (name, letter)
