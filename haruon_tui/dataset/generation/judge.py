"""Whether an answer becomes an example: its form, the rules, its levels, and what is there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from haruon_tui.dataset import duplicates, golden, persona, records
from haruon_tui.dataset.generation import answer, prompt
from haruon_tui.dataset.records import Record
from haruon_tui.dataset.report import parse
from haruon_tui.dataset.validator import Finding, Validator

if TYPE_CHECKING:
    from numpy.typing import NDArray

NEAR, LEAKED = 0.8, 0.6
"""Jaccard of character 5-grams, where the rule set has no bar of its own."""


@dataclass(frozen=True)
class Fault:
    """Why an answer is not kept: the rule's name, and words that the server can act on."""

    rule: str
    words: str


@dataclass(frozen=True)
class Verdict:
    """`record` is what was read, None where nothing could be; it is kept without `faults`."""

    record: Record | None
    faults: list[Fault] = field(default_factory=list)


class Judge:
    """Checks answers one after another, each against those that were kept before it."""

    def __init__(self, validator: Validator, kept: Iterable[Record] = ()) -> None:
        """`kept` are the examples that are there already."""
        self._validator = validator
        bars = {rule.check: rule.bar for rule in validator.rules.rules if rule.bar is not None}
        self._near, self._leaked = bars.get("near-duplicate", NEAR), bars.get("leakage", LEAKED)
        cases = golden.load_cases(golden.cases_file())
        self._cases = duplicates.Cases(
            {case["id"]: persona.user_turn(case["answers"]) for case in cases}
        )
        self._texts: list[str] = []
        self._sketches: NDArray[np.uint32] = np.empty((0, duplicates.RANGES), np.uint32)
        for line in records.read(golden.reports_file()):
            if isinstance(line, records.Line):
                self.keep(line.record)
        for record in kept:
            self.keep(record)

    def judge(self, text: str, levels: Mapping[str, str], *, id: str, cut_off: bool) -> Verdict:
        """Look at a server's text for an example with these levels."""
        try:
            written = answer.read(text)
        except answer.Malformed as malformed:
            rule = "cut-off" if cut_off else malformed.rule
            return Verdict(None, [Fault(rule, prompt.fault(rule, malformed.detail))])
        record = answer.record(written, id=id)
        found = self._validator.check(record)
        faults = [_fault(finding, record) for finding in found if finding.severity == "error"]
        faults += _wrong_levels(record, levels)
        if not faults:
            faults = self._seen_before(record)
        return Verdict(record, faults)

    def keep(self, record: Record) -> None:
        """Later answers must differ from this record."""
        text = _own_text(record)
        row = np.frombuffer(duplicates.sketch(duplicates.gram_hashes(text)), np.uint32)
        self._sketches = np.vstack([self._sketches, row])
        self._texts.append(text)

    def _seen_before(self, record: Record) -> list[Fault]:
        turn = records.content(record, "user")
        if self._cases.closest(turn, self._leaked):
            return [Fault("leakage", prompt.fault("leakage", ""))]
        hashes = duplicates.gram_hashes(_own_text(record))
        row = np.frombuffer(duplicates.sketch(hashes), np.uint32)
        alike = (self._sketches == row).mean(axis=1)
        for place in np.flatnonzero(alike >= self._near - duplicates.SLACK):
            other = duplicates.gram_hashes(self._texts[int(place)])
            if duplicates.jaccard(hashes, other) >= self._near:
                return [Fault("near-duplicate", prompt.fault("duplicate", ""))]
        return []


def _own_text(record: Record) -> str:
    """Answers and report without what every record has."""
    said = records.answers(record) or {}
    report = parse(records.content(record, "assistant"))
    bodies = [part.body for part in report.traits]
    return duplicates.plain(" ".join([*said.values(), *bodies, report.summary]))


def _wrong_levels(record: Record, wanted: Mapping[str, str]) -> list[Fault]:
    """The levels that the finished report states must be those that were asked for."""
    stated = parse(records.content(record, "assistant")).levels
    return [
        Fault(
            "wrong-level",
            prompt.fault(
                "wrong-level",
                f"{trait.korean} 수준은 '{wanted[trait.key]}'이어야 하는데 "
                f"'{stated.get(trait.key, '없음')}'입니다. "
                "답변과 리포트가 그 수준에 맞아야 합니다.",
            ),
        )
        for trait in persona.TRAITS
        if stated.get(trait.key) != wanted[trait.key]
    ]


def _fault(finding: Finding, record: Record) -> Fault:
    """A finding in words, with the part of the answer that it is about."""
    place = _place(finding, record)
    shown = f" «{finding.text}»" if finding.text else ""
    return Fault(finding.rule, f"{place}: {finding.message}{shown} → {finding.suggestion}")


def _place(finding: Finding, record: Record) -> str:
    if not finding.path.startswith("$.messages[2]"):
        return "answers" if finding.path.startswith("$.messages[1]") else finding.path
    if finding.start is None:
        return "report"
    report = parse(records.content(record, "assistant"))
    before = [part for part in report.parts if part.start <= finding.start]
    return "report" if not before else f"report.{before[-1].key}"
