"""Validates a whole JSONL file, on several cores where it is large, in the order of its lines."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from haruon_tui.dataset import persona, records, regular_file, rules
from haruon_tui.dataset.block_checker import BlockChecker, Checked, Task, compared
from haruon_tui.dataset.blocks import Block, split
from haruon_tui.dataset.hit import Hit
from haruon_tui.dataset.rules import Group, RuleSet
from haruon_tui.dataset.validator import Finding, is_valid, make_finding

PARALLEL_BYTES = 8 << 20
"""From this size on, starting worker processes (about a second) pays."""

AHEAD = 2
"""Blocks per worker that are read before they are wanted."""


@dataclass(frozen=True)
class LineFinding:
    """A finding in a file: the line, and the record's id where it has one."""

    line: int
    id: str | None
    finding: Finding

    def as_dict(self) -> dict[str, Any]:
        return {"line": self.line, "id": self.id, **asdict(self.finding)}


@dataclass
class FileSummary:
    """What validating a file found. `findings` holds the first ones, `findings_left_out` counts
    the rest; `rules` counts findings per rule, `examples` has the first of each, `levels`
    reports per trait and level."""

    path: str
    rule_set: str
    records: int = 0
    valid: int = 0
    unreadable: int = 0
    rules: dict[str, int] = field(default_factory=dict)
    levels: dict[str, dict[str, int]] = field(default_factory=dict)
    findings: list[LineFinding] = field(default_factory=list)
    findings_left_out: int = 0
    examples: dict[str, list[LineFinding]] = field(default_factory=dict)

    @property
    def invalid(self) -> int:
        """Records with an error, and lines that are no record."""
        return self.records - self.valid + self.unreadable

    @property
    def ok(self) -> bool:
        return self.records > 0 and self.invalid == 0

    def as_dict(self) -> dict[str, Any]:
        """For a JSON document; the examples are among the findings."""
        whole = {
            name: getattr(self, name)
            for name in ("path", "rule_set", "records", "valid", "unreadable", "rules", "levels")
        }
        return {
            **whole,
            "findings": [found.as_dict() for found in self.findings],
            "findings_left_out": self.findings_left_out,
            "invalid": self.invalid,
            "ok": self.ok,
        }


class LevelTable:
    """Counts the levels that reports give, per trait."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()

    def count(self, record: dict[str, Any]) -> None:
        from haruon_tui.dataset.report import parse

        self.counts.update(parse(records.content(record, "assistant")).levels.items())

    def as_dict(self) -> dict[str, dict[str, int]]:
        """Every trait with every level of the scale, lowest first."""
        return {
            trait.key: {level: self.counts[trait.key, level] for level in persona.LEVELS}
            for trait in persona.TRAITS
        }


def validate_file(
    path: Path,
    rule_set: str | RuleSet = rules.DEFAULT,
    *,
    keep: int = 1000,
    examples: int = 3,
    on_valid: Callable[[records.Line], None] | None = None,
    on_line: Callable[[int], None] | None = None,
    on_finding: Callable[[LineFinding], None] | None = None,
    on_bytes: Callable[[int], None] | None = None,
    tokenizer: Path | None = None,
    cases: Mapping[str, str] | None = None,
    leave_out: Collection[Group] = (),
    workers: int | None = None,
) -> FileSummary:
    """Validate a JSONL file; of a record only 300 bytes stay in memory, its findings aside.

    `keep` findings are kept, and `examples` of each rule. `on_valid` gets each usable record,
    `on_line` the number of each block's first line, `on_finding` every finding, `on_bytes` how
    much of the file is done; raise from one to stop. Near duplicates are found at the end and
    come last. `tokenizer` is a tokenizer.json, `cases` the evaluation cases' user turns by id,
    `leave_out` groups of rules not to check. `workers` 0 checks in this process; None takes one
    per core for a large file. Raises ConfigurationError for a file that cannot be read or an
    unknown rule set.
    """
    rule_set = rules.load(rule_set) if isinstance(rule_set, str) else rule_set
    task = Task(rule_set, tokenizer, dict(cases or {}), frozenset(leave_out))
    merged = _Merged(path, task, keep, examples, on_finding)
    if workers is None:
        workers = _cores() if _size(path) >= PARALLEL_BYTES else 0
    run = _in_workers(task, path, workers) if workers > 1 else _here(task, path)
    for block, checked in run:
        if on_line:
            on_line(block.lines + 1)
        valid = merged.add(checked)
        if on_valid:
            for read in block.records():
                if read.number in valid and isinstance(read, records.Line):
                    on_valid(read)
        if on_bytes:
            on_bytes(block.byte + len(block.data))
    merged.find_near_duplicates()
    return merged.summary_of_all()


class _Merged:
    """Puts the results of the blocks together, in their order."""

    def __init__(
        self,
        path: Path,
        task: Task,
        keep: int,
        examples: int,
        on_finding: Callable[[LineFinding], None] | None,
    ) -> None:
        self._path, self._task, self._keep, self._examples = path, task, keep, examples
        self._on_finding = on_finding
        self._summary = FileSummary(str(path), task.rules.name)
        self._counts: Counter[str] = Counter()
        self._levels = LevelTable()
        self._exact = task.set_rule("exact-duplicate")
        self._first_lines: dict[bytes, int] = {}
        self._lines = Checked(0).lines
        self._bytes = Checked(0).bytes
        self._sketches = bytearray()

    def add(self, checked: Checked) -> set[int]:
        """Take in a block's result; returns the lines of its valid records."""
        copies = self._copies(checked)
        found = (
            sorted([*checked.findings, *copies], key=lambda each: each[0])
            if copies
            else checked.findings
        )
        for line, id, findings in found:
            for finding in findings:
                self._note(LineFinding(line, id, finding))
        copied = {line for line, _, findings in copies if not is_valid(findings)}
        valid = {
            line
            for place, line in enumerate(checked.lines)
            if place not in checked.invalid and line not in copied
        }
        self._summary.records += len(checked.lines)
        self._summary.valid += len(valid)
        self._summary.unreadable += checked.unreadable
        self._levels.counts.update(checked.levels)
        return valid

    def find_near_duplicates(self) -> None:
        """Look for records that are nearly the same, over the whole file."""
        rule = self._task.set_rule("near-duplicate")
        if rule is None or rule.bar is None or not self._sketches:
            return
        from haruon_tui.dataset import duplicates

        with self._path.open("rb") as stream:

            def text_of(place: int) -> str:
                stream.seek(self._bytes[place])
                line = records.decode(stream.readline(), 2, 0)
                return (
                    duplicates.plain(compared(line.record))
                    if isinstance(line, records.Line)
                    else ""
                )

            for pair in duplicates.near(self._sketches, text_of, rule.bar):
                detail = f"{pair.alike:.0%} like line {self._lines[pair.earlier]}"
                finding = make_finding(rule, Hit(detail), "$", None)
                self._note(LineFinding(self._lines[pair.later], None, finding))

    def summary_of_all(self) -> FileSummary:
        self._summary.rules = dict(self._counts.most_common())
        self._summary.levels = self._levels.as_dict()
        return self._summary

    def _copies(self, checked: Checked) -> list[tuple[int, str | None, list[Finding]]]:
        """Records that stood in the file before; the others are kept for the near ones."""
        copies: list[tuple[int, str | None, list[Finding]]] = []
        if not checked.digests:
            return copies
        width = len(checked.digests) // len(checked.lines)
        sketch = len(checked.sketches) // len(checked.lines)
        for place, line in enumerate(checked.lines):
            digest = bytes(checked.digests[place * width : (place + 1) * width])
            first = self._first_lines.setdefault(digest, line)
            if first != line:
                if self._exact:
                    hit = Hit(f"the same as line {first}")
                    finding = make_finding(self._exact, hit, "$", None)
                    copies.append((line, None, [finding]))
                continue
            self._lines.append(line)
            self._bytes.append(checked.bytes[place])
            self._sketches += checked.sketches[place * sketch : (place + 1) * sketch]
        return copies

    def _note(self, found: LineFinding) -> None:
        rule = found.finding.rule
        self._counts[rule] += 1
        if len(self._summary.findings) < self._keep:
            self._summary.findings.append(found)
        else:
            self._summary.findings_left_out += 1
        shown = self._summary.examples.setdefault(rule, [])
        if len(shown) < self._examples:
            shown.append(found)
        if self._on_finding:
            self._on_finding(found)


def _here(task: Task, path: Path) -> Iterator[tuple[Block, Checked]]:
    checker = BlockChecker(task)
    for block in split(path, 32 << 10):  # small blocks, so that callers can stop soon
        yield block, checker.check(block)


def _in_workers(task: Task, path: Path, workers: int) -> Iterator[tuple[Block, Checked]]:
    with _pool(task, workers) as pool:
        waiting: deque[tuple[Block, Future[Checked]]] = deque()
        for block in split(path):
            # A worker reads its block itself: less to do than to send it.
            future = pool.submit(_check_block, path, block.lines, block.byte, len(block.data))
            waiting.append((block, future))
            if len(waiting) > workers * AHEAD:
                first, future = waiting.popleft()
                yield first, future.result()
        while waiting:
            first, future = waiting.popleft()
            yield first, future.result()


@contextmanager
def _pool(task: Task, workers: int) -> Iterator[ProcessPoolExecutor]:
    """Workers forked from one server that has loaded the analyser, so that they share its memory.

    They are ended at once when the caller stops early.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["haruon_tui.dataset.worker_preload"])
    others = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(workers, context, initializer=_get_ready, initargs=(task,))
    try:
        yield pool
    except BaseException:
        for process in set(multiprocessing.active_children()) - others:
            process.kill()
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown()


_checker: BlockChecker | None = None


def _get_ready(task: Task) -> None:
    global _checker
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends us
    _checker = BlockChecker(task)
    gc.freeze()  # what was loaded stays, and need not be looked at again
    gc.set_threshold(50_000)


def _check_block(path: Path, lines: int, byte: int, length: int) -> Checked:
    assert _checker is not None
    with regular_file.opened(path) as stream:
        stream.seek(byte)
        return _checker.check(Block(lines, byte, stream.read(length)))


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
