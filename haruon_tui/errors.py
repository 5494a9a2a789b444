"""Errors that speak: what was wrong, where, what was expected, and what to do."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """Exit codes of the command line and of a job's child process."""

    OK = 0
    CHECK_FAILED = 1
    CONFIGURATION = 2
    STAGE_FAILED = 3
    INTERRUPTED = 130


class HaruonError(Exception):
    """An error for the user. `where` is a file, `file:line`, a key or a command-line option."""

    exit_code = Exit.STAGE_FAILED

    def __init__(
        self,
        what: str,
        *,
        where: str | None = None,
        expected: str | None = None,
        do: str | None = None,
    ) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.expected = expected
        self.do = do

    def __str__(self) -> str:
        lines = [f"{self.where}: {self.what}" if self.where else self.what]
        if self.expected:
            lines.append(f"expected: {self.expected}")
        if self.do:
            lines.append(f"try: {self.do}")
        return "\n".join(lines)

    def as_dict(self) -> dict[str, str]:
        """The parts that are set, for an event or a JSON document."""
        parts = {"what": self.what, "where": self.where, "expected": self.expected, "do": self.do}
        return {name: text for name, text in parts.items() if text}


class CheckFailed(HaruonError):
    """The work ran, and what it looked at is not good enough."""

    exit_code = Exit.CHECK_FAILED


class ConfigurationError(HaruonError):
    """A wrong argument, key or value; nothing has started."""

    exit_code = Exit.CONFIGURATION


class StageError(HaruonError):
    """A stage could not do its work."""


class Stopped(Exception):
    """Raised inside a stage when a stop was asked for; what was done so far is kept."""
