"""Checks records and reports against a rule set.

Whole files: haruon_tui.dataset.file_validation.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

from ahocorasick_rs import BytesAhoCorasick, Implementation

from haruon_tui.dataset import (
    checks,
    persona_scores,
    record_checks,
    report_checks,
    rules,
    token_lengths,
)
from haruon_tui.dataset.characters import look
from haruon_tui.dataset.hit import Hit
from haruon_tui.dataset.record_checks import messages
from haruon_tui.dataset.report import Report, parse
from haruon_tui.dataset.rules import Group, Rule, RuleSet, Severity

MAX_HITS = 20
"""Findings of one rule in one text; rubbish would otherwise give one per character."""

EXCERPT = 120
"""Characters of the text that a finding shows at most."""


@dataclass(frozen=True, slots=True)
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


class Validator:
    """Applies one rule set to single records; holds nothing between them that decides."""

    def __init__(
        self,
        rule_set: str | RuleSet = rules.DEFAULT,
        *,
        tokens: token_lengths.Counter | None = None,
        leave_out: Collection[Group] = (),
    ) -> None:
        """`rule_set` is a name or a set that was read, `tokens` counts with the base model's
        tokenizer (without it, lengths are estimated), `leave_out` names groups not to check.
        Raises ConfigurationError."""
        self.rules = rules.load(rule_set) if isinstance(rule_set, str) else rule_set
        checks.require_known(self.rules)
        self._tokens = tokens or token_lengths.Estimate()
        used = [rule for rule in self.rules.rules if rule.group not in leave_out]
        self._record_rules = _checks(used, checks.RECORD_CHECKS, "record")
        self._other_record_rules = [
            pair for pair in self._record_rules if pair[1] not in record_checks.OF_THE_SHAPE
        ]
        self._text_plan = _Plan(_checks(used, checks.TEXT_CHECKS, "text"))
        self._report_plan = _Plan(_checks(used, checks.REPORT_CHECKS, "text", "form", "safety"))
        self._style_rules = _checks(used, checks.REPORT_CHECKS, "style", "persona")
        self._evidence_rules = _checks(used, checks.EVIDENCE_CHECKS, "evidence")
        self._token_rules = {rule.check: rule for rule in used if rule.group == "tokens"}
        self._system = ("", list[tuple[Rule, Hit]]())

    def check_report(self, text: str) -> list[Finding]:
        """What is wrong with a report: characters, form and safety, by position."""
        found = self._report(text, "$")
        return _sorted([finding for finding in found if not _said_already(finding, found)])

    def check(self, record: object) -> list[Finding]:
        """What is wrong with a record, by path and position. Takes any JSON value."""
        found: list[Finding] = []
        in_form = record_checks.in_form(record)
        for rule, check in self._other_record_rules if in_form else self._record_rules:
            for hit in islice(check(rule, record), MAX_HITS):
                text = _text_at(record, hit.path) if hit.start is not None else None
                found.append(make_finding(rule, hit, "$", text))
        said = ""
        for place, role, text in _texts(record, in_form):
            path = f"$.messages[{place}].content"
            if role == "assistant":
                found += self._report(text, path)
                found += self._reading(text, said, path)
            else:
                found += self._text(text, path, role)
                said = text if role == "user" else said
        if self._token_rules:
            found += self._lengths(record)
        if not found:
            return found
        return _sorted([finding for finding in found if not _said_already(finding, found)])

    def persona_scores(self, text: str) -> dict[str, float]:
        """The five persona qualities of a report, 0 to 1; 0 for a report that is not complete."""
        report = parse(text)
        return {
            rule.check.removeprefix("persona-"): (
                persona_scores.SCORES[rule.check.removeprefix("persona-")](rule, report)
                if report.complete
                else 0.0
            )
            for rule in self.rules.rules
            if rule.group == "persona"
        }

    def _text(self, text: str, path: str, role: object) -> list[Finding]:
        if role == "system":  # the same in every record
            if self._system[0] != text:
                self._system = (text, list(self._text_plan.hits(text)))
            hits = self._system[1]
        else:
            hits = list(self._text_plan.hits(text))
        return [make_finding(rule, hit, path, text) for rule, hit in hits]

    def _report(self, text: str, path: str) -> list[Finding]:
        """Characters, form and safety."""
        hits = self._report_plan.hits(text, parse(text))
        return [make_finding(rule, hit, path, text) for rule, hit in hits]

    def _reading(self, text: str, said: str, path: str) -> list[Finding]:
        """Style, persona, and whether the report rests on the answers."""
        report = parse(text)
        found = [
            make_finding(rule, hit, path, text)
            for rule, check in self._style_rules
            for hit in islice(check(rule, text, report), MAX_HITS)
        ]
        if said:
            for rule, check in self._evidence_rules:
                hits = islice(check(rule, text, report, said), MAX_HITS)
                found += [make_finding(rule, hit, path, text) for hit in hits]
        return found

    def _lengths(self, record: object) -> Iterator[Finding]:
        at_most = _counted(record, self._tokens.at_most)
        if at_most is None or not any(self._too_long(at_most)):
            return
        exact = _counted(record, self._tokens.count) or at_most
        for rule, limit, tokens in self._too_long(exact):
            detail = f"{tokens} tokens, {limit:.0f} fit"
            if not self._tokens.exact:
                detail = f"at most {tokens} tokens (an estimate without the tokenizer), "
                detail += f"{limit:.0f} fit"
            yield make_finding(rule, Hit(detail, proven=self._tokens.exact), exact.path, None)

    def _too_long(self, counted: _Counted) -> Iterator[tuple[Rule, float, int]]:
        lengths = (("report-tokens", counted.report), ("context-tokens", counted.context))
        for name, tokens in lengths:
            rule = self._token_rules.get(name)
            if rule is not None and rule.limit is not None and tokens > rule.limit:
                yield rule, rule.limit, tokens


class _Counted(NamedTuple):
    """Tokens of a record's report, which stands at `path`, and of all its messages."""

    path: str
    report: int
    context: int


def _counted(record: object, count: Callable[..., int]) -> _Counted | None:
    """None for a record without a report."""
    path, report, context = "", 0, 0
    for place, message in messages(record):
        text, role = message.get("content"), message.get("role")
        if isinstance(text, str):
            tokens = count(text, spoken=role == "user")
            context += tokens + token_lengths.PER_MESSAGE
            if role == "assistant":
                path, report = f"$.messages[{place}].content", tokens
    return _Counted(path, report, context) if path else None


def _texts(
    record: object, in_form: tuple[str, str, str] | None
) -> Iterable[tuple[int, object, str]]:
    """The place, the role and the text of each message that has one."""
    if in_form:
        return zip(range(len(in_form)), record_checks.ROLES, in_form, strict=True)
    return (
        (place, message.get("role"), text)
        for place, message in messages(record)
        if isinstance(text := message.get("content"), str) and text.strip()
    )


def is_valid(findings: list[Finding]) -> bool:
    """Whether a record with these findings can be trained on: warnings are allowed."""
    return not any(finding.severity == "error" for finding in findings)


def id_of(record: dict[str, Any]) -> str | None:
    """The record's metadata.id, None where it has none."""
    metadata = record.get("metadata")
    id = metadata.get("id") if isinstance(metadata, dict) else None
    return id if isinstance(id, str) else None


class _Plan:
    """Rules in the order of work. Those with hints are only tried on a text that has one: a
    single pass with an Aho-Corasick automaton finds the hints of all rules. Those of the form are
    passed over in an exact report."""

    def __init__(self, rules_and_checks: list[tuple[Rule, Callable[..., Iterator[Hit]]]]) -> None:
        always = [pair for pair in rules_and_checks if not pair[0].all_hints]
        self._of_the_form = [pair for pair in always if pair[1] in report_checks.OF_THE_FORM]
        self._always = [pair for pair in always if pair[1] not in report_checks.OF_THE_FORM]
        self._hinted = [pair for pair in rules_and_checks if pair[0].all_hints]
        rules_of: dict[str, list[int]] = {}
        for place, (rule, _) in enumerate(self._hinted):
            for hint in rule.all_hints:
                rules_of.setdefault(hint, []).append(place)
        self._rules_of = list(rules_of.values())
        self._automaton = BytesAhoCorasick(
            [hint.encode() for hint in rules_of], implementation=Implementation.DFA
        )

    def hits(self, text: str, report: Report | None = None) -> Iterator[tuple[Rule, Hit]]:
        given = (text,) if report is None else (text, report)
        tried = self._always
        if report is None or not report.exact:
            tried = [*self._of_the_form, *tried]
        found = self._automaton.find_matches_as_indexes(look(text).utf8, overlapping=True)
        if found:
            places = {place for match in found for place in self._rules_of[match[0]]}
            tried = [*tried, *(self._hinted[place] for place in sorted(places))]
        for rule, check in tried:
            for hit in islice(check(rule, *given), MAX_HITS):
                yield rule, hit


def _checks(used: list[Rule], table: dict[str, Any], *groups: Group) -> list[tuple[Rule, Any]]:
    return [(rule, table[rule.check]) for rule in used if rule.group in groups]


def _text_at(record: object, path: str) -> str | None:
    """The content that a record's check placed a span in (`.messages[1].content`)."""
    place = path.removeprefix(".messages[").removesuffix("].content")
    found = dict(messages(record)).get(int(place)) if place.isdigit() else None
    return found.get("content") if found else None


def make_finding(rule: Rule, hit: Hit, path: str, text: str | None) -> Finding:
    shown = text[hit.start : hit.end] if text is not None and hit.start is not None else ""
    if len(shown) > EXCERPT:
        shown = shown[: EXCERPT - 1] + "…"
    return Finding(
        rule.id,
        rule.severity if hit.proven else "warning",
        f"{rule.what}: {hit.detail}" if hit.detail else rule.what,
        path + hit.path,
        hit.start,
        hit.end,
        rule.suggestion,
        shown,
        rule.group,
    )


def _said_already(finding: Finding, found: list[Finding]) -> bool:
    """A warning on what an error covers adds nothing: one of the same group that overlaps it, or
    any that holds it."""
    start, end = finding.start, finding.end
    if finding.severity == "error" or start is None or end is None:
        return False
    return any(
        other.severity == "error"
        and other.path == finding.path
        and other.start is not None
        and other.end is not None
        and (
            (other.start <= start and end <= other.end)
            or (other.group == finding.group and other.start < end and start < other.end)
        )
        for other in found
    )


def _sorted(findings: list[Finding]) -> list[Finding]:
    return sorted(findings, key=lambda found: (found.path, found.start or 0, found.rule))
