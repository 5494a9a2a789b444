"""Rule sets as data: what a dataset record and a report must hold to, why, and what to do.

A rule names a check and its severity, words and values; the checks themselves are code, found
by name in `haruon_tui.dataset.checks`. The sets that come with the program lie in data/rules.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from functools import cached_property, lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from haruon_tui.dataset import persona
from haruon_tui.errors import ConfigurationError

Severity = Literal["error", "warning"]
Group = Literal[
    "record", "text", "form", "safety", "style", "persona", "evidence", "tokens", "set"
]
"""What a rule looks at: the record as JSON, each message's text, the report's form, what it says
of the reader, its lengths, how it speaks, what it rests on, its tokens, the other records."""

_WORD_CHECKS = frozenset({"copula", "substring"})
"""Checks of which every finding holds one of the rule's words."""

DEFAULT = "calibrated"
NAMES = ("calibrated", "guide")


class Rule(BaseModel):
    """One rule. `values` and `pattern` are what its check looks for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(pattern=r"^[a-z][a-z0-9-]*$", description="its name in findings")
    group: Group = Field(description="what the rule looks at")
    severity: Severity = Field(description="an error leaves a record out, a warning does not")
    check: str = Field(description="the name of the check in haruon_tui.dataset.checks")
    what: str = Field(description="what is wrong, in plain words")
    why: str = Field(description="why it matters")
    suggestion: str = Field(description="what to write instead")
    values: tuple[str, ...] = Field((), description="words; `@name` stands for a list's words")
    hints: tuple[str, ...] = Field(
        (), description="a text without any of these cannot break the rule: a quick first look"
    )
    by_trait: dict[str, tuple[str, ...]] = Field(
        default_factory=dict, description="words of each trait's field, by the trait's key"
    )
    measure: str = Field("", description="how the figure that the rule looks at is measured")
    bar: float | None = Field(None, description="a finding where the figure is below it")
    limit: float | None = Field(None, description="a finding where the figure is above it")
    pattern: str = Field("", description="a regular expression; `<name>` is any of a list's words")
    unless: str = Field(
        "", description="a regular expression; no finding where the rest of the sentence has it"
    )
    but_not: str = Field(
        "", description="a regular expression; no finding where the text up to its end has it"
    )
    in_quotes: bool = Field(True, description="False: what is quoted from the user is not meant")

    @cached_property
    def words(self) -> re.Pattern[str] | None:
        """Any of `values`, the longest first."""
        return any_of(self.values) if self.values else None

    @cached_property
    def regex(self) -> re.Pattern[str] | None:
        return re.compile(self.pattern) if self.pattern else None

    @cached_property
    def exception(self) -> re.Pattern[str] | None:
        return re.compile(self.unless) if self.unless else None

    @cached_property
    def innocent(self) -> re.Pattern[str] | None:
        return re.compile(self.but_not) if self.but_not else None

    @cached_property
    def all_hints(self) -> tuple[str, ...]:
        """The hints that are written, or those that follow from `values`. A text that breaks the
        rule holds one of them; without any, only the check can tell."""
        return self.hints or (_cover(self.values) if self.check in _WORD_CHECKS else ())

    @model_validator(mode="after")
    def _patterns_compile(self) -> Rule:
        for pattern in (self.pattern, self.unless, self.but_not):
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"{pattern!r} is no regular expression: {error}") from error
        return self


class RuleSet(BaseModel):
    """Rules in the order in which they are checked."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    about: str
    lists: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    rules: tuple[Rule, ...]

    @model_validator(mode="before")
    @classmethod
    def _fill_in_lists(cls, written: object) -> object:
        if not isinstance(written, dict):
            return written
        lists = written.get("lists", {})
        rules = [
            {
                **rule,
                "values": [word for value in rule.get("values", ()) for word in _of(value, lists)],
                "hints": [word for hint in rule.get("hints", ()) for word in _hints(hint, lists)],
                "by_trait": {
                    trait: [word for value in words for word in _of(value, lists)]
                    for trait, words in rule.get("by_trait", {}).items()
                },
                **{
                    name: re.sub(r"<(\w+)>", lambda named: _any_of(lists[named[1]]), rule[name])
                    for name in ("pattern", "unless", "but_not")
                    if name in rule
                },
            }
            for rule in written.get("rules", ())
        ]
        return {**written, "rules": rules}

    @model_validator(mode="after")
    def _ids_are_unique(self) -> RuleSet:
        ids = [rule.id for rule in self.rules]
        if doubled := sorted({id for id in ids if ids.count(id) > 1}):
            raise ValueError(f"the id {doubled[0]!r} is used twice")
        return self


def file_of(name: str) -> Path:
    """Where the rule set `name` lies. Raises ConfigurationError for an unknown name."""
    if name not in NAMES:
        raise ConfigurationError(f"there is no rule set {name!r}", expected=" or ".join(NAMES))
    return Path(str(files("haruon_tui.data.rules") / f"{name}.json"))


def load(name: str) -> RuleSet:
    """The rule set `name`."""
    return load_file(file_of(name))


@lru_cache(maxsize=8)
def load_file(path: Path) -> RuleSet:
    """Read a rule set. Raises ConfigurationError that names the file and the rule."""
    try:
        return RuleSet.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigurationError(first["msg"], where=f"{path} ({where})") from error
    except KeyError as error:
        raise ConfigurationError(f"there is no list {error} in it", where=str(path)) from error
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"cannot be read: {error}", where=str(path), expected="a rule set as JSON"
        ) from error


def _of(value: str, lists: dict[str, list[str]]) -> list[str]:
    return lists[value[1:]] if value.startswith("@") else [value]


def _hints(hint: str, lists: dict[str, list[str]]) -> Iterable[str]:
    """`@digits` stands for any two digits in a row, `@name` for pieces of a list's words."""
    if hint == "@digits":
        return (first + second for row in _DIGITS for first in row for second in row)
    return _cover(_of(hint, lists)) if hint[:1] == "@" and hint[1:] in lists else (hint,)


_DIGITS = ("0123456789", "０１２３４５６７８９")


def any_of(words: Iterable[str]) -> re.Pattern[str]:
    """A pattern for any of `words`, the longest first.

    Words are gathered by their first letter, so that the search, which takes the first letters
    of the branches as a set, passes over most of a text at once.
    """
    return re.compile(_any_of(words))


def _any_of(words: Iterable[str]) -> str:
    by_first: dict[str, list[str]] = {}
    for word in sorted(set(words), key=lambda word: (-len(word), word)):
        by_first.setdefault(word[0], []).append(re.escape(word[1:]))
    branches = (
        re.escape(first) + (rests[0] if len(rests) == 1 else f"(?:{'|'.join(rests)})")
        for first, rests in sorted(by_first.items())
    )
    return f"(?:{'|'.join(branches)})"


def _cover(words: Iterable[str]) -> tuple[str, ...]:
    """Few and short pieces, so that each of `words` holds one (a greedy set cover). Pieces that
    stand in the fixed parts of every record are passed over, for they tell nothing."""
    fixed = " ".join([persona.SYSTEM_PROMPT, persona.TITLE, persona.OPENING, persona.SUMMARY])
    fixed += " ".join(trait.heading for trait in persona.TRAITS)
    pieces: dict[str, set[str]] = {}
    for word in words:
        for length in (2, 3):
            for at in range(max(1, len(word) - length + 1)):
                pieces.setdefault(word[at : at + length], set()).add(word)
    single = {word for word in words if len(word) == 1}
    chosen = sorted(single)
    left = {word for word in words if not single & set(word)}
    while left:
        best = max(
            sorted(pieces),
            key=lambda piece: (
                bool(pieces[piece] & left),
                piece not in fixed,
                len(pieces[piece] & left),
                len(piece),  # longer ones are rarer
            ),
        )
        chosen.append(best)
        left -= pieces[best]
    return tuple(chosen)
