"""Gathers the records of a dataset from its sources, and says what was found on the way."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from haruon_tui.dataset import golden, persona, records, rules
from haruon_tui.dataset.file_validation import FileSummary, LevelTable, validate_file
from haruon_tui.dataset.records import Record
from haruon_tui.dataset.report import parse
from haruon_tui.dataset.validator import Finding, Validator, id_of, is_valid
from haruon_tui.errors import CheckFailed, ConfigurationError, HaruonError, StageError

if TYPE_CHECKING:
    from haruon_tui.jobs.context import JobContext

KEPT_FINDINGS = 200
"""Findings per file that validation.json lists; the rest is counted."""

SHOWN_FINDINGS = 5
"""Findings of a file that go into the log or an error."""


class Collection:
    """The records that passed every rule, in the order in which they were added."""

    def __init__(
        self,
        job: JobContext,
        rule_set: rules.RuleSet,
        cases: Iterable[golden.Case],
        *,
        near_cases: bool = True,
    ) -> None:
        """`cases` are the questions that no record may have, nor nearly have. Composed cases
        (`near_cases` False) are put together from the same sentences as composed records, so that
        there only the same question counts."""
        self.records: list[Record] = []
        self.left_out = 0
        self.warnings = 0
        self._job = job
        self._validator = Validator(rule_set)
        self._cases = {case["id"]: persona.user_turn(case["answers"]) for case in cases}
        self._near_cases = near_cases
        self._case_questions = set(self._cases.values())
        self._findings: Counter[str] = Counter()
        self._levels = LevelTable()
        self._files: list[dict[str, Any]] = []
        self._reported = 0.0

    def add_golden(self, path: Path) -> None:
        """Add the golden records; one that fails is an error, for they are our own."""
        for line in records.read(path):
            if isinstance(line, records.BadLine):
                raise StageError(f"the line {line.message}", where=f"{path}:{line.number}")
            self._add_own(line.record, f"{path}:{line.number}")

    def add_composed(self, composed: Sequence[Record]) -> None:
        """Add composed records; one that fails is an error, for they are our own."""
        for number, record in enumerate(composed, start=1):
            self._add_own(record, f"composed record {id_of(record) or number}")
            self._progress(number, len(composed), "composed records", "records")

    def add_file(self, path: Path) -> None:
        """Add the valid records of a user's file; the others are left out and reported."""
        size = _size(path)
        before = len(self.records)

        def add(line: records.Line) -> None:
            if records.content(line.record, "user").strip() in self._case_questions:
                kept_for_evaluation.append(line.number)
            else:
                self._keep(_own_form(line, path))
            self._progress(line.byte, size, path.name, "bytes")

        kept_for_evaluation: list[int] = []
        summary = validate_file(
            path,
            self._validator.rules,
            keep=KEPT_FINDINGS,
            on_valid=add,
            on_line=lambda number: self._job.raise_if_stopped(),
            cases=self._cases if self._near_cases else None,
        )
        self._findings.update(summary.rules)
        self.warnings += sum(
            summary.rules.get(rule.id, 0)
            for rule in self._validator.rules.rules
            if rule.severity == "warning"
        )
        left_out = summary.invalid + len(kept_for_evaluation)
        self.left_out += left_out
        used = len(self.records) - before
        self._files.append(
            {
                **summary.as_dict(),
                "used": used,
                "kept_for_evaluation": kept_for_evaluation,
            }
        )
        if used == 0:
            raise _nothing_usable(path, summary, kept_for_evaluation)
        if left_out:
            self._log_left_out(path, summary, kept_for_evaluation)

    def as_dict(self) -> dict[str, Any]:
        """What validation.json says beside the result."""
        severity = {rule.id: rule.severity for rule in self._validator.rules.rules}
        return {
            "rule_set": self._validator.rules.name,
            "findings": {
                rule: {"severity": severity.get(rule, "error"), "count": count}
                for rule, count in self._findings.most_common()
            },
            "levels": self._levels.as_dict(),
            "files": self._files,
        }

    @property
    def validator(self) -> Validator:
        """What every record passed."""
        return self._validator

    def leaks(self, items: Iterable[Record]) -> list[str]:
        """The ids of records that are, or nearly are, an evaluation case: there must be none."""
        from haruon_tui.dataset.duplicates import Cases

        rule = next((r for r in self._validator.rules.rules if r.check == "leakage"), None)
        bar = rule.bar if rule and rule.bar and self._near_cases else None
        cases = Cases(self._cases) if bar else None
        found = []
        for item in items:
            turn = records.content(item, "user").strip()
            if turn in self._case_questions or (bar and cases and cases.closest(turn, bar)):
                found.append(str(id_of(item)))
        return found

    def _add_own(self, record: Record, where: str) -> None:
        found = self._validator.check(record)
        if not is_valid(found):
            raise _own_fault(found[0], where, self._validator.rules.name)
        if records.content(record, "user").strip() in self._case_questions:
            raise StageError("a record that comes with the program is also a case", where=where)
        self._findings.update(finding.rule for finding in found)
        self.warnings += len(found)
        self._keep(record)

    def _keep(self, record: Record) -> None:
        self.records.append(record)
        self._levels.count(record)

    def _progress(self, done: int, total: int, phase: str, unit: str) -> None:
        now = time.monotonic()
        if done >= total or now - self._reported >= 0.5:
            self._job.raise_if_stopped()
            self._job.progress(done, total, phase=phase, unit=unit)
            self._reported = now

    def _log_left_out(self, path: Path, summary: FileSummary, kept: list[int]) -> None:
        if summary.invalid:
            self._job.log(f"{path}: {summary.invalid} records left out", "warning")
        if kept:
            self._job.log(
                f"{path}: {len(kept)} records left out because they are evaluation cases "
                f"(line {kept[0]} first)",
                "warning",
            )
        for found in _errors(summary)[:SHOWN_FINDINGS]:
            self._job.log(f"{path}:{found[0]}: {found[1]}", "warning")


def _own_form(line: records.Line, path: Path) -> Record:
    """The record with the keys we know and nothing else, and with the levels of its report."""
    given = line.record.get("metadata")
    given = given if isinstance(given, dict) else {}
    source = given.get("source")
    origin = {key: given[key] for key in ("of", "how") if isinstance(given.get(key), str)}
    return {
        "messages": [
            {"role": message["role"], "content": message["content"]}
            for message in line.record["messages"]
        ],
        "metadata": {
            "id": id_of(line.record) or f"{path.stem}-{line.number}",
            "source": source if source in ("generated", "augmented") else "file",
            "levels": parse(records.content(line.record, "assistant")).levels,
            **origin,
        },
    }


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise ConfigurationError(
            f"cannot be read: {error.strerror}",
            where=str(path),
            expected="a JSONL file, its path relative to the workspace",
            do="mend `files` in the section [dataset] of haruon.toml",
        ) from error


def _errors(summary: FileSummary) -> list[tuple[int, Finding]]:
    return [
        (found.line, found.finding)
        for found in summary.findings
        if found.finding.severity == "error"
    ]


def _nothing_usable(path: Path, summary: FileSummary, kept: list[int]) -> CheckFailed:
    errors = _errors(summary)
    if not errors:
        what = "every record is an evaluation case" if kept else "the file has no records"
        return CheckFailed(what, where=str(path), expected="records to train on")
    first = "\n".join(f"  line {line}: {finding}" for line, finding in errors[:SHOWN_FINDINGS])
    return CheckFailed(
        f"none of its {summary.records + summary.unreadable} records is valid\n{first}",
        where=f"{path}:{errors[0][0]}",
        expected=f"records that pass the rule set {summary.rule_set!r}",
        do=errors[0][1].suggestion,
    )


def _own_fault(finding: Finding, where: str, rule_set: str) -> HaruonError:
    if rule_set == rules.DEFAULT:
        return StageError(f"a record that comes with the program fails: {finding}", where=where)
    return CheckFailed(
        f"a record that comes with the program does not pass the rule set {rule_set!r}: {finding}",
        where=where,
        do=f'set rules = "{rules.DEFAULT}" in [dataset], which holds to the meaning of the '
        "guide's rules, or golden = false and compose = 0 to take only files of your own",
    )
