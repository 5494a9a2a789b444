"""A report checked while it is being written: every check waits until it can be decided.

The validator decides, on the settled prefix of the text: the part that no later character can give
another meaning. It ends after a line, or after a sentence outside a heading and outside quotation
marks. A finding counts once nothing that follows can take it back; what is true of the whole text
(what is missing, lengths, the persona) is decided at the end. So a check goes from waiting to
passed, or from waiting over a warning to failed, and never back.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from haruon_tui.chat.protocol import Reason
from haruon_tui.dataset import persona, quotations, records, report
from haruon_tui.dataset.report import PARTS, Part, Report
from haruon_tui.dataset.rules import Rule
from haruon_tui.dataset.validator import Finding, Validator
from haruon_tui.evaluation.cases import Case
from haruon_tui.evaluation.scoring import TraitScore

State = Literal["waiting", "passed", "warning", "failed"]

SECTIONS = "sections"
FORM = "form"
FORBIDDEN = "forbidden"
QUOTES = "quotes"
LENGTH = "length"
TEXT = "text"
STYLE = "style"
ANSWERS = "answers"
STOPPED = "stopped"

BY_RULES = (SECTIONS, FORM, FORBIDDEN, QUOTES, LENGTH, TEXT, STYLE, ANSWERS)
"""Checks that fail where the validator finds something; the others are those of the parts (their
keys, in the order of `report.PARTS`) and whether the model stopped by itself."""

REPORT_PATH = "$.messages[2].content"
"""Where the report stands in the record that the validator is given."""

_QUESTION_PATHS = ("$.messages[0]", "$.messages[1]")
_TRAITS = {trait.key for trait in persona.TRAITS}
_CHECK_OF_GROUP = {
    "record": FORM,
    "form": FORM,
    "safety": FORBIDDEN,
    "evidence": QUOTES,
    "tokens": LENGTH,
    "text": TEXT,
    "style": STYLE,
    "persona": STYLE,
}
_CHECK_OF_RULE = {
    "sections": SECTIONS,
    "order": SECTIONS,
    "letters": TEXT,
    "section-length": LENGTH,
    "summary-length": LENGTH,
    "report-length": LENGTH,
}
_OF_A_COMPLETE_REPORT = ("section-length", "summary-length")
_ENDED: dict[Reason, str] = {
    "stop": "by itself",
    "length": "cut at the limit",
    "stopped": "stopped by hand",
}

_SENTENCE_END = re.compile(r"[.!?][\"'”’)\]」]*(?=\s)")
_OVER = re.compile(r"[.!?]|\n\s*\S")
_LINE_OVER = re.compile(r"\n\s*\S")
_PARENTHESIS = re.compile("[()\uff08\uff09]")
_OPENS_QUOTE = re.compile("[\"'‘“「]")


@dataclass(frozen=True)
class Check:
    """One check: a part's key or one of the names above, and a few words on what was found."""

    name: str
    state: State = "waiting"
    words: str = ""


class ReportWatch:
    """Watches one report. Loads the Korean analyser when a word needs it (a second, 300 MB):
    not for the process of a screen."""

    def __init__(self, case: Case, validator: Validator) -> None:
        """`case.levels` are the expected ones; of own answers, which have none, it is empty."""
        self.text = ""
        self.settled = 0
        """Characters of `text` that are checked."""
        self.findings: list[Finding] = []
        """What is decided. At the end, all that Validator.check finds in the record."""
        self.checks: tuple[Check, ...] = ()
        self._case = case
        self._validator = validator
        self._rules = {rule.id: rule for rule in validator.rules.rules}
        self._reason: Reason | None = None
        self._judge("", report.parse(""))

    def feed(self, piece: str) -> bool:
        """Add what the model wrote; whether more of it is settled now."""
        self.text += piece
        settled = settled_length(self.text)
        if settled <= self.settled:
            return False
        self.settled = settled
        text = self.text[:settled]
        parsed = report.parse(text)
        found = self._validator.check(self._record(text))
        self.findings = [one for one in found if self._is_decided(one, text, parsed)]
        self._judge(text, parsed)
        return True

    def finish(self, reason: Reason) -> None:
        """The answer has ended: decide everything."""
        self._reason = reason
        self.settled = len(self.text)
        self.findings = self._validator.check(self._record(self.text))
        self._judge(self.text, report.parse(self.text))

    def _record(self, text: str) -> records.Record:
        answer = {"role": "assistant", "content": text}
        return {"messages": [*self._case.messages, answer]}

    def _is_decided(self, found: Finding, text: str, parsed: Report) -> bool:
        """Whether a finding in the settled prefix `text` stands whatever follows."""
        if found.path != REPORT_PATH:
            return True  # the question does not change
        if found.start is None or found.end is None:
            return False  # of the whole text
        check = self._rules[found.rule].check
        rest = text[found.end :]
        if check in _OF_A_COMPLETE_REPORT:
            return False
        if check == "repeated":
            return text[found.end - 1] in ".!?" or bool(rest.strip())
        if check == "bodies":
            return any(part.start > found.start for part in parsed.parts)
        if found.group in ("form", "text"):
            return _LINE_OVER.search(rest) is not None
        return _OVER.search(rest) is not None

    def _judge(self, text: str, parsed: Report) -> None:
        by_check: dict[str, list[Finding]] = {}
        for found in self.findings:
            by_check.setdefault(check_of(found, self._rules[found.rule]), []).append(found)
        first: dict[str, Part] = {}
        for part in parsed.parts:
            first.setdefault(part.key, part)
        self.checks = (
            *(self._of_part(key, first.get(key)) for key in PARTS),
            *(self._of_rules(name, by_check.get(name, [])) for name in BY_RULES),
            self._of_stop(),
        )

    def _of_part(self, key: str, part: Part | None) -> Check:
        if part is None:
            return Check(key, "failed", "missing") if self._reason else Check(key)
        if key not in _TRAITS:
            return Check(key, "passed")
        if part.level is None:
            return Check(key, "failed", f"{part.written_level or 'no level'}: not on the scale")
        expected = self._case.levels.get(key)
        if expected is None:
            return Check(key, "passed", part.level)
        score = TraitScore(expected, part.level)
        if score.exact:
            return Check(key, "passed", part.level)
        state: State = "warning" if score.within_one else "failed"
        return Check(key, state, f"{part.level}, expected {expected}")

    def _of_rules(self, name: str, found: list[Finding]) -> Check:
        if not found:
            return Check(name, "passed" if self._reason else "waiting")
        failed = any(one.severity == "error" for one in found)
        rules = dict.fromkeys(one.rule for one in found)
        words = (
            ", ".join(rules) if len(found) == len(rules) else f"{len(found)}: {', '.join(rules)}"
        )
        return Check(name, "failed" if failed else "warning", words)

    def _of_stop(self) -> Check:
        if self._reason is None:
            return Check(STOPPED)
        state: State = "passed" if self._reason == "stop" else "failed"
        return Check(STOPPED, state, _ENDED[self._reason])


def check_of(found: Finding, rule: Rule) -> str:
    """The check that a finding belongs to."""
    if found.path.startswith(_QUESTION_PATHS):
        return ANSWERS
    return _CHECK_OF_RULE.get(rule.check) or _CHECK_OF_GROUP[found.group]


def settled_length(text: str) -> int:
    """The characters at the start of `text` that nothing that follows gives another meaning.

    A line is settled when it has ended. Of the last line, the sentences are that have ended, but
    none of a heading (`### 개방성: 높음. …` names no level) and none in a quotation, which may be
    closed later, or in parentheses, after which a copula may follow.
    """
    start = text.rfind("\n") + 1
    line = text[start:]
    if line.lstrip()[:1] in ("#", ""):
        return start
    open_from = min(_open_quote(line), _open_parenthesis(line))
    covered = [match.span() for match in quotations.QUOTED.finditer(line)]
    for match in reversed(list(_SENTENCE_END.finditer(line))):
        end = match.end()
        if end <= open_from and not any(left < end < right for left, right in covered):
            return start + end
    return start


def _open_quote(line: str) -> int:
    """Where a quotation begins in an unfinished line that may still be closed; its length where
    there is none."""
    at = 0
    while opened := _OPENS_QUOTE.search(line, at):
        quoted = quotations.QUOTED.match(line, opened.start())
        if quoted is None and len(line) - opened.start() <= quotations.LONGEST + 1:
            return opened.start()
        at = quoted.end() if quoted else opened.end()
    return len(line)


def _open_parenthesis(line: str) -> int:
    """Where an unclosed parenthesis begins; the length of the line where there is none."""
    opened: list[int] = []
    for match in _PARENTHESIS.finditer(line):
        if match[0] in "(\uff08":
            opened.append(match.start())
        elif opened:
            opened.pop()
    return opened[0] if opened else len(line)
