"""Checks records and reports against a rule set, and whole files line by line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from haruon_tui.dataset import checks, records, rules
from haruon_tui.dataset.checks import Hit
from haruon_tui.dataset.report import parse
from haruon_tui.dataset.rules import Group, Rule, RuleSet, Severity

MAX_HITS = 20
"""Findings of one rule in one text; rubbish would otherwise give one per character."""

EXCERPT = 120
"""Characters of the text that a finding shows at most."""


@dataclass(frozen=True)
class Finding:
    """One thing wrong with a record or a report.

    `path` is a JSON path into the record (`$` is the report itself); `start` and `end` are
    characters of the text there, None when the whole is meant; `text` is what stands there.
    """

    rule: str
    severity: Severity
    message: str
    path: str
    start: int | None
    end: int | None
    suggestion: str
    text: str
    group: Group

    def __str__(self) -> str:
        shown = f" «{self.text}»" if self.text else ""
        return f"{self.severity} {self.rule} at {self.path}: {self.message}{shown}"


@dataclass(frozen=True)
class LineFinding:
    """A finding in a file: the line, and the record's id where it has one."""

    line: int
    id: str | None
    finding: Finding

    def as_dict(self) -> dict[str, Any]:
        return {"line": self.line, "id": self.id, **asdict(self.finding)}


class Validator:
    """Applies one rule set. Holds nothing between records; safe to share."""

    def __init__(self, rule_set: str | RuleSet = rules.DEFAULT) -> None:
        """`rule_set` is a name or a set that was read. Raises ConfigurationError."""
        self.rules = rules.load(rule_set) if isinstance(rule_set, str) else rule_set
        checks.require_known(self.rules)

    def check_report(self, text: str) -> list[Finding]:
        """What is wrong with a report: characters, form and safety, by position."""
        return _sorted(self._text(text, "$") + self._report(text, "$"))

    def check(self, record: object) -> list[Finding]:
        """What is wrong with a record, by path and position. Takes any JSON value."""
        found: list[Finding] = []
        for rule in self._of("record"):
            hits = islice(checks.RECORD_CHECKS[rule.check](rule, record), MAX_HITS)
            found += [_finding(rule, hit, "$", None) for hit in hits]
        for place, message in checks.messages(record):
            text = message.get("content")
            if not isinstance(text, str) or not text.strip():
                continue
            path = f"$.messages[{place}].content"
            found += self._text(text, path)
            if message.get("role") == "assistant":
                found += self._report(text, path)
        return _sorted(found)

    def _text(self, text: str, path: str) -> list[Finding]:
        return [
            _finding(rule, hit, path, text)
            for rule in self._of("text")
            for hit in islice(checks.TEXT_CHECKS[rule.check](rule, text), MAX_HITS)
        ]

    def _report(self, text: str, path: str) -> list[Finding]:
        report = parse(text)
        found = [
            _finding(rule, hit, path, text)
            for rule in self._of("form", "safety")
            for hit in islice(checks.REPORT_CHECKS[rule.check](rule, text, report), MAX_HITS)
        ]
        return [finding for finding in found if not _said_already(finding, found)]

    def _of(self, *groups: Group) -> Iterator[Rule]:
        return (rule for rule in self.rules.rules if rule.group in groups)


def is_valid(findings: list[Finding]) -> bool:
    """Whether a record with these findings can be trained on: warnings are allowed."""
    return not any(finding.severity == "error" for finding in findings)


@dataclass
class FileSummary:
    """What validating a file found. `findings` holds the first ones, `findings_left_out` counts
    the rest; `rules` counts findings per rule, `levels` reports per trait and level."""

    path: str
    rule_set: str
    records: int = 0
    valid: int = 0
    unreadable: int = 0
    rules: dict[str, int] = field(default_factory=dict)
    levels: dict[str, dict[str, int]] = field(default_factory=dict)
    findings: list[LineFinding] = field(default_factory=list)
    findings_left_out: int = 0

    @property
    def invalid(self) -> int:
        """Records with an error, and lines that are no record."""
        return self.records - self.valid + self.unreadable

    @property
    def ok(self) -> bool:
        return self.records > 0 and self.invalid == 0

    def as_dict(self) -> dict[str, Any]:
        """For a JSON document."""
        return {
            **asdict(self),
            "invalid": self.invalid,
            "ok": self.ok,
            "findings": [found.as_dict() for found in self.findings],
        }


def validate_file(
    path: Path,
    rule_set: str | RuleSet = rules.DEFAULT,
    *,
    keep: int = 1000,
    on_valid: Callable[[records.Line], None] | None = None,
    on_line: Callable[[int], None] | None = None,
) -> FileSummary:
    """Validate a JSONL file record by record; memory does not grow with the file.

    `keep` findings are kept. `on_valid` gets each usable record, `on_line` every line's number
    (for progress; raise from it to stop). Raises ConfigurationError for a file that cannot be
    read or an unknown rule set.
    """
    validator = Validator(rule_set)
    summary = FileSummary(str(path), validator.rules.name)
    counts: Counter[str] = Counter()
    levels = LevelTable()
    for line in records.read(path):
        if on_line:
            on_line(line.number)
        if isinstance(line, records.BadLine):
            summary.unreadable += 1
            found, id = [_unreadable(line)], None
        else:
            summary.records += 1
            found, id = validator.check(line.record), id_of(line.record)
            levels.count(line.record)
            if is_valid(found):
                summary.valid += 1
                if on_valid:
                    on_valid(line)
        counts.update(finding.rule for finding in found)
        room = max(0, keep - len(summary.findings))
        summary.findings += [LineFinding(line.number, id, finding) for finding in found[:room]]
        summary.findings_left_out += len(found[room:])
    summary.rules = dict(counts.most_common())
    summary.levels = levels.as_dict()
    return summary


class LevelTable:
    """Counts the levels that reports give, per trait."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str]] = Counter()

    def count(self, record: dict[str, Any]) -> None:
        self._counts.update(parse(records.content(record, "assistant")).levels.items())

    def as_dict(self) -> dict[str, dict[str, int]]:
        """Every trait with every level of the scale, lowest first."""
        from haruon_tui.dataset.persona import LEVELS, TRAITS

        return {
            trait.key: {level: self._counts[trait.key, level] for level in LEVELS}
            for trait in TRAITS
        }


def id_of(record: dict[str, Any]) -> str | None:
    """The record's metadata.id, None where it has none."""
    metadata = record.get("metadata")
    id = metadata.get("id") if isinstance(metadata, dict) else None
    return id if isinstance(id, str) else None


def _finding(rule: Rule, hit: Hit, path: str, text: str | None) -> Finding:
    message = f"{rule.what}: {hit.detail}" if hit.detail else rule.what
    shown = text[hit.start : hit.end] if text is not None and hit.start is not None else ""
    if len(shown) > EXCERPT:
        shown = shown[: EXCERPT - 1] + "…"
    return Finding(
        rule.id,
        rule.severity,
        message,
        path + hit.path,
        hit.start,
        hit.end,
        rule.suggestion,
        shown,
        rule.group,
    )


def _said_already(finding: Finding, found: list[Finding]) -> bool:
    """A warning on what an error of the same group covers adds nothing."""
    if finding.severity == "error" or finding.start is None or finding.end is None:
        return False
    return any(
        other.severity == "error"
        and other.group == finding.group
        and other.start is not None
        and other.end is not None
        and other.start < finding.end
        and finding.start < other.end
        for other in found
    )


def _unreadable(line: records.BadLine) -> Finding:
    return Finding(
        "unreadable-line",
        "error",
        f"the line {line.message} (byte {line.byte} of the file)",
        "$",
        None,
        None,
        "mend the line or take it out; the other lines stay usable",
        "",
        "record",
    )


def _sorted(findings: list[Finding]) -> list[Finding]:
    return sorted(findings, key=lambda found: (found.path, found.start or 0, found.rule))
