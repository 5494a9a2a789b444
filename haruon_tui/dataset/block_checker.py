"""Checks one block of a JSONL file: what a worker process does, and what it hands back."""

from __future__ import annotations

from array import array
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from haruon_tui.dataset import records, token_lengths
from haruon_tui.dataset.blocks import Block
from haruon_tui.dataset.hit import Hit
from haruon_tui.dataset.report import OPENING, TITLE, parse
from haruon_tui.dataset.rules import Group, Rule, RuleSet
from haruon_tui.dataset.validator import Finding, Validator, id_of, is_valid, make_finding


@dataclass(frozen=True)
class Task:
    """How a file is checked. `cases` are the user turns of the evaluation cases by id."""

    rules: RuleSet
    tokenizer: Path | None = None
    cases: dict[str, str] = field(default_factory=dict)
    leave_out: frozenset[Group] = frozenset()

    def set_rule(self, check: str) -> Rule | None:
        """The rule on the set that has this check, None where it is not wanted."""
        if "set" in self.leave_out:
            return None
        return next((rule for rule in self.rules.rules if rule.check == check), None)


@dataclass
class Checked:
    """What was found in a block.

    One entry per record: `lines` its number, `bytes` where it starts, `digests` 16 bytes and
    `sketches` 256 bytes each, empty where duplicates are not looked for. `invalid` are places in
    these. `findings` go with their line and the record's id; `length` are the block's bytes.
    """

    length: int
    lines: array[int] = field(default_factory=lambda: array("Q"))
    bytes: array[int] = field(default_factory=lambda: array("Q"))
    digests: bytearray = field(default_factory=bytearray)
    sketches: bytearray = field(default_factory=bytearray)
    invalid: set[int] = field(default_factory=set)
    findings: list[tuple[int, str | None, list[Finding]]] = field(default_factory=list)
    levels: Counter[tuple[str, str]] = field(default_factory=Counter)
    unreadable: int = 0


class BlockChecker:
    """Checks blocks of one file; made once per process."""

    def __init__(self, task: Task) -> None:
        counter = token_lengths.counter(task.tokenizer)
        self._validator = Validator(task.rules, tokens=counter, leave_out=task.leave_out)
        self._exact, self._near, self._leak = map(
            task.set_rule, ("exact-duplicate", "near-duplicate", "leakage")
        )
        if self._near or self._leak:
            from haruon_tui.dataset import duplicates

            self._duplicates = duplicates
            self._cases = duplicates.Cases(task.cases)

    def check(self, block: Block) -> Checked:
        """Check every line of a block."""
        checked = Checked(len(block.data))
        texts: list[str] = []
        for line in block.records():
            if isinstance(line, records.BadLine):
                checked.unreadable += 1
                checked.findings.append((line.number, None, [unreadable(line)]))
                continue
            found = self._validator.check(line.record)
            if self._leak:
                found += self._leaks(line.record)
            place = len(checked.lines)
            checked.lines.append(line.number)
            checked.bytes.append(line.byte)
            if found:
                checked.findings.append((line.number, id_of(line.record), found))
                if not is_valid(found):
                    checked.invalid.add(place)
            checked.levels.update(parse(records.content(line.record, "assistant")).levels.items())
            if self._near or self._exact:
                text = self._duplicates.plain(compared(line.record))
                checked.digests += self._duplicates.digest(text)
                texts.append(text)
        if texts:
            checked.sketches += self._duplicates.sketches(texts)
        return checked

    def _leaks(self, record: records.Record) -> list[Finding]:
        rule = self._leak
        if rule is None or rule.bar is None:
            return []
        turn = records.content(record, "user")
        closest = self._cases.closest(turn, rule.bar) if turn else None
        if closest is None:
            return []
        id, alike = closest
        path = f"$.messages[{_place_of_user(record)}].content"
        return [make_finding(rule, Hit(f"{alike:.0%} like {id}", "", 0, len(turn)), path, turn)]


def compared(record: records.Record) -> str:
    """What of a record is compared: the answers and what the report says, without the headings
    and the opening line that every report has."""
    text = records.content(record, "assistant")
    bodies = [part.body for part in parse(text).parts if part.key not in (TITLE, OPENING)]
    said = records.content(record, "user")
    return "\n".join([said, *bodies]) if any(bodies) else f"{said}\n{text}"


def unreadable(line: records.BadLine) -> Finding:
    """The finding on a line that is no record."""
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


def _place_of_user(record: records.Record) -> int:
    listed = record["messages"]
    return max(
        place
        for place, message in enumerate(listed)
        if isinstance(message, dict) and message.get("role") == "user"
    )
