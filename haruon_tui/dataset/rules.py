"""Rule sets as data: what a dataset record and a report must hold to, why, and what to do.

A rule names a check and its severity, words and values; the checks themselves are code, found
by name in `haruon_tui.dataset.checks`. The sets that come with the program lie in data/rules.
"""

from __future__ import annotations

import json
import re
from functools import cached_property, lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from haruon_tui.errors import ConfigurationError

Severity = Literal["error", "warning"]
Group = Literal["record", "text", "form", "safety"]

DEFAULT = "calibrated"
NAMES = ("calibrated", "guide")


class Rule(BaseModel):
    """One rule. `values` and `pattern` are what its check looks for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(pattern=r"^[a-z][a-z0-9-]*$", description="its name in findings")
    group: Group = Field(description="the record, the text, the report's form, or its safety")
    severity: Severity = Field(description="an error leaves a record out, a warning does not")
    check: str = Field(description="the name of the check in haruon_tui.dataset.checks")
    what: str = Field(description="what is wrong, in plain words")
    why: str = Field(description="why it matters")
    suggestion: str = Field(description="what to write instead")
    values: tuple[str, ...] = Field((), description="words; `@name` stands for a list's words")
    pattern: str = Field("", description="a regular expression; `<name>` is any of a list's words")
    unless: str = Field(
        "", description="a regular expression; no finding where the rest of the sentence has it"
    )
    in_quotes: bool = Field(True, description="False: what is quoted from the user is not meant")

    @cached_property
    def words(self) -> re.Pattern[str] | None:
        """Any of `values`, the longest first."""
        return re.compile(_any_of(self.values)) if self.values else None

    @cached_property
    def regex(self) -> re.Pattern[str] | None:
        return re.compile(self.pattern) if self.pattern else None

    @cached_property
    def exception(self) -> re.Pattern[str] | None:
        return re.compile(self.unless) if self.unless else None

    @model_validator(mode="after")
    def _patterns_compile(self) -> Rule:
        for pattern in (self.pattern, self.unless):
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
                "pattern": re.sub(
                    r"<(\w+)>", lambda named: _any_of(lists[named[1]]), rule.get("pattern", "")
                ),
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


def _any_of(words: tuple[str, ...] | list[str]) -> str:
    """A pattern for any of `words`, the longest first. The set of first letters before it lets
    the search pass over most places at once."""
    longest_first = sorted(words, key=len, reverse=True)
    first_letters = "".join(sorted({re.escape(word[0]) for word in words}))
    return f"(?:(?=[{first_letters}])(?:{'|'.join(map(re.escape, longest_first))}))"
