"""The checks that rules name, by the group of the rule.

A check of the group "record" gets the record as it was read; one of "text" gets each message's
text; one of "form", "safety", "style" or "persona" gets a report and what was parsed of it; one of
"evidence" gets the answers as well. Those of "tokens" and "set" need a tokenizer and the other
records: haruon_tui.dataset.validator and haruon_tui.dataset.file_validation make them. To add
one: write the function, name it in the table of its module, and add a rule to data/rules.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from haruon_tui.dataset import record_checks, report_checks, text_checks
from haruon_tui.dataset.hit import Hit
from haruon_tui.dataset.report import Report
from haruon_tui.dataset.rules import Group, Rule, RuleSet
from haruon_tui.errors import ConfigurationError

RecordCheck = Callable[[Rule, object], Iterator[Hit]]
TextCheck = Callable[[Rule, str], Iterator[Hit]]
ReportCheck = Callable[[Rule, str, Report], Iterator[Hit]]
EvidenceCheck = Callable[[Rule, str, Report, str], Iterator[Hit]]


def _of_text(check: TextCheck) -> ReportCheck:
    return lambda rule, text, report: check(rule, text)


RECORD_CHECKS: dict[str, RecordCheck] = record_checks.CHECKS
TEXT_CHECKS: dict[str, TextCheck] = text_checks.CHECKS
REPORT_CHECKS: dict[str, ReportCheck] = {
    **report_checks.CHECKS,
    **{name: _of_text(check) for name, check in TEXT_CHECKS.items()},
}
EVIDENCE_CHECKS: dict[str, EvidenceCheck] = {"said": report_checks.said}
TOKEN_CHECKS = ("report-tokens", "context-tokens")
SET_CHECKS = ("exact-duplicate", "near-duplicate", "leakage")

KNOWN: dict[Group, tuple[str, ...]] = {
    "record": tuple(RECORD_CHECKS),
    "text": tuple(TEXT_CHECKS),
    "form": tuple(REPORT_CHECKS),
    "safety": tuple(REPORT_CHECKS),
    "style": tuple(REPORT_CHECKS),
    "persona": tuple(REPORT_CHECKS),
    "evidence": tuple(EVIDENCE_CHECKS),
    "tokens": TOKEN_CHECKS,
    "set": SET_CHECKS,
}
"""The names of the checks that a rule of a group may have."""


def require_known(rules: RuleSet) -> None:
    """Raise ConfigurationError when a rule names a check that its group does not have."""
    for rule in rules.rules:
        known = KNOWN[rule.group]
        if rule.check not in known:
            raise ConfigurationError(
                f"rule {rule.id!r} names the check {rule.check!r}, which there is not",
                where=f"rule set {rules.name!r}",
                expected=", ".join(sorted(known)),
            )
