"""The checks that rules name, one small function each.

A check of the group "record" gets the record as it was read; one of "text" gets each message's
text; one of "form" or "safety" gets a report and what was parsed of it. To add one: write the
function, name it in the table of its group, and add a rule to data/rules.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from haruon_tui.dataset import expressions, persona
from haruon_tui.dataset.report import PARTS, SUMMARY, TITLE, Part, Report, parse
from haruon_tui.dataset.rules import Rule, RuleSet
from haruon_tui.errors import ConfigurationError

ROLES = ("system", "user", "assistant")
_TRAITS = {trait.key: trait for trait in persona.TRAITS}


@dataclass(frozen=True)
class Hit:
    """One place where a rule is broken. `detail` adds to the rule's words; `path` is below the
    thing checked; `start` and `end` are characters of the text there."""

    detail: str = ""
    path: str = ""
    start: int | None = None
    end: int | None = None


RecordCheck = Callable[[Rule, object], Iterator[Hit]]
TextCheck = Callable[[Rule, str], Iterator[Hit]]
ReportCheck = Callable[[Rule, str, Report], Iterator[Hit]]


def messages(record: object) -> list[tuple[int, dict[str, Any]]]:
    """The messages that are objects, each with its place in the list."""
    listed = record.get("messages") if isinstance(record, dict) else None
    return [
        (place, message)
        for place, message in enumerate(listed if isinstance(listed, list) else [])
        if isinstance(message, dict)
    ]


def shape(rule: Rule, record: object) -> Iterator[Hit]:
    if not isinstance(record, dict):
        yield Hit("it is not a JSON object")
        return
    listed = record.get("messages")
    if not isinstance(listed, list):
        if "messages" in record:
            yield Hit("'messages' is not a list", ".messages")
        elif "conversations" in record:
            yield Hit("there is no 'messages', only the ShareGPT form's 'conversations'")
        else:
            yield Hit("there is no 'messages'")
        return
    for place, message in enumerate(listed):
        if not isinstance(message, dict):
            yield Hit("the message is not an object", f".messages[{place}]")
            continue
        for key in ("role", "content"):
            if key not in message:
                yield Hit(f"the message has no {key!r}", f".messages[{place}]")
            elif not isinstance(message[key], str):
                yield Hit(f"{key!r} is not a text", f".messages[{place}].{key}")


def roles(rule: Rule, record: object) -> Iterator[Hit]:
    if not isinstance(record, dict) or not isinstance(record.get("messages"), list):
        return
    found = [message.get("role") for _, message in messages(record)]
    if found != list(ROLES):
        shown = ", ".join(str(role)[:20] for role in found[:6]) or "none"
        more = ", …" if len(found) > 6 else ""
        yield Hit(f"they are: {shown}{more}", ".messages")


def empty(rule: Rule, record: object) -> Iterator[Hit]:
    for place, message in messages(record):
        text = message.get("content")
        if isinstance(text, str) and not text.strip():
            yield Hit("", f".messages[{place}].content")


def metadata(rule: Rule, record: object) -> Iterator[Hit]:
    if not isinstance(record, dict) or record.get("metadata") is None:
        return
    given = record["metadata"]
    if not isinstance(given, dict):
        yield Hit("it is not an object", ".metadata")
        return
    if not isinstance(given.get("id", ""), str):
        yield Hit("'id' is not a text", ".metadata.id")
    levels = given.get("levels")
    if levels is None:
        return
    if not isinstance(levels, dict):
        yield Hit("'levels' is not an object", ".metadata.levels")
        return
    reports = [m.get("content") for _, m in messages(record) if m.get("role") == "assistant"]
    written = parse(reports[-1]).levels if reports and isinstance(reports[-1], str) else {}
    for key, level in levels.items():
        path = f".metadata.levels.{key}"
        if key not in _TRAITS:
            yield Hit(f"there is no trait {key!r}; they are {', '.join(_TRAITS)}", path)
        elif level not in persona.LEVELS:
            yield Hit(f"{level!r} is not on the scale", path)
        elif written.get(key, level) != level:
            yield Hit(f"it says {level}, the report says {written[key]}", path)


def nfc(rule: Rule, text: str) -> Iterator[Hit]:
    if unicodedata.is_normalized("NFC", text):
        return
    for word in re.finditer(r"\S+", text):
        if not unicodedata.is_normalized("NFC", word[0]):
            yield Hit("", "", *word.span())
            return
    yield Hit()


def control(rule: Rule, text: str) -> Iterator[Hit]:
    for match in _SUSPECT.finditer(text):
        place = match.start()
        if match[0] == _JOINER and place > 0 and _is_emoji(text[place - 1]):
            continue  # joins emoji into one, as in a family
        name = unicodedata.name(match[0], "control character")
        yield Hit(f"U+{ord(match[0]):04X} {name.lower()}", "", place, place + 1)


_JOINER = "\u200d"
_SUSPECT = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u180e\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffd"
    "\ud800-\udfff]"
)


def _is_emoji(letter: str) -> bool:
    return unicodedata.category(letter) in ("So", "Sk") or letter == "\ufe0f"


def required(rule: Rule, text: str, report: Report) -> Iterator[Hit]:
    for word in rule.values:
        if word not in text:
            yield Hit(f"'{word}'")


def sections(rule: Rule, text: str, report: Report) -> Iterator[Hit]:
    for key in report.missing:
        yield Hit(f"'{_form_of(key)}'")


def order(rule: Rule, text: str, report: Report) -> Iterator[Hit]:
    furthest = -1
    for part in report.parts:
        place = PARTS.index(part.key)
        if place <= furthest:
            twice = sum(part.key == other.key for other in report.parts) > 1
            detail = "twice" if twice else f"after '{_form_of(PARTS[furthest])}'"
            yield Hit(f"'{_form_of(part.key)}' comes {detail}", "", part.start, part.end)
        furthest = max(furthest, place)


def bodies(rule: Rule, text: str, report: Report) -> Iterator[Hit]:
    for part in report.parts:
        if (part.key in _TRAITS or part.key == SUMMARY) and not part.has_body:
            yield Hit("", "", part.start, part.end)


def levels(rule: Rule, text: str, report: Report) -> Iterator[Hit]:
    for part in report.traits:
        if part.level is None:
            written = part.written_level
            detail = f"'{written[:40]}' is not on it" if written else "none is written"
            yield Hit(detail, "", part.start, part.end)


def headings(rule: Rule, text: str, report: Report) -> Iterator[Hit]:
    for part in report.parts:
        if (wanted := _exact_heading(part)) and part.heading != wanted:
            yield Hit(f"the form has '{wanted}'", "", part.start, part.end)
    for start, end in report.other_headings:
        yield Hit("the form has no such heading", "", start, end)


def preamble(rule: Rule, text: str, report: Report) -> Iterator[Hit]:
    if report.preamble and report.parts:
        yield Hit("", "", *_span_of_start(text, report.parts[0].start))


def _span_of_start(text: str, end: int) -> tuple[int, int]:
    before = text[:end]
    return len(before) - len(before.lstrip()), len(before.rstrip())


def _form_of(key: str) -> str:
    if key in _TRAITS:
        return _TRAITS[key].heading
    return {TITLE: persona.TITLE, SUMMARY: persona.SUMMARY}.get(key, persona.OPENING)


def _exact_heading(part: Part) -> str | None:
    if part.key not in _TRAITS:
        return _form_of(part.key)
    if part.level is None:
        return None  # the rule on levels has spoken
    remark = f" ({part.remark})" if part.remark else ""
    return f"{_TRAITS[part.key].heading}: {part.level}{remark}"


def _spans(finder: expressions.Finder) -> TextCheck:
    def check(rule: Rule, text: str) -> Iterator[Hit]:
        for start, end in finder(rule, text):
            yield Hit("", "", start, end)

    return check


def _of_text(check: TextCheck) -> ReportCheck:
    return lambda rule, text, report: check(rule, text)


RECORD_CHECKS: dict[str, RecordCheck] = {
    "shape": shape,
    "roles": roles,
    "empty": empty,
    "metadata": metadata,
}
TEXT_CHECKS: dict[str, TextCheck] = {
    "nfc": nfc,
    "control": control,
    **{name: _spans(finder) for name, finder in expressions.FINDERS.items()},
}
REPORT_CHECKS: dict[str, ReportCheck] = {
    "required": required,
    "sections": sections,
    "order": order,
    "bodies": bodies,
    "levels": levels,
    "headings": headings,
    "preamble": preamble,
    **{name: _of_text(check) for name, check in TEXT_CHECKS.items()},
}


def require_known(rules: RuleSet) -> None:
    """Raise ConfigurationError when a rule names a check that its group does not have."""
    known_in: dict[str, list[str]] = {
        "record": sorted(RECORD_CHECKS),
        "text": sorted(TEXT_CHECKS),
        "form": sorted(REPORT_CHECKS),
        "safety": sorted(REPORT_CHECKS),
    }
    for rule in rules.rules:
        known = known_in[rule.group]
        if rule.check not in known:
            raise ConfigurationError(
                f"rule {rule.id!r} names the check {rule.check!r}, which there is not",
                where=f"rule set {rules.name!r}",
                expected=", ".join(known),
            )
