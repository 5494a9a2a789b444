"""Cleans a dataset file: fixes what is safe, drops copies, moves what is not usable to the side.

Every line that is not blank goes to exactly one place: kept, dropped, or rejected. Three files
are written, whole or not at all, and the source is never touched:

    NAME.jsonl            the records that are kept, in the order of the source
    NAME.rejected.jsonl   {"line", "byte", "record" or "raw", "findings": [...]} per reject
    NAME.changes.jsonl    {"line", "byte", "id"} with "fixed": {fix: times}, or with
                          "dropped": "exact" | "near", "like": line, "alike": 0 to 1
"""

from __future__ import annotations

import json
import os
import tempfile
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import IO, Any

from haruon_tui.dataset import duplicates, fixes, outputs, records, regular_file, text_encoding
from haruon_tui.dataset.block_checker import compared, unreadable
from haruon_tui.dataset.duplicates import Cases
from haruon_tui.dataset.records import BadLine, Line, Record
from haruon_tui.dataset.rules import Rule, RuleSet
from haruon_tui.dataset.text_encoding import TextLine
from haruon_tui.dataset.validator import Finding, Validator, id_of, is_valid
from haruon_tui.errors import StageError

Progress = Callable[[int, int, str], None]
"""Called with what is done, of how much, and the phase; raise from it to stop."""

RAW_CHARACTERS = 1 << 20
"""Of a line that is no record, so much goes to the side file."""

_SKETCH = duplicates.RANGES * 4


@dataclass
class Cleaned:
    """What became of a file: `lines` = `kept` + `dropped` + `rejected`, blank lines apart."""

    source: str
    file: str
    rejects: str
    changes: str
    encoding: str
    rule_set: str
    lines: int = 0
    blank: int = 0
    kept: int = 0
    exact_duplicates: int = 0
    near_duplicates: int = 0
    rejected: int = 0
    fixed: int = 0
    fixes: dict[str, int] = field(default_factory=dict)
    reasons: dict[str, int] = field(default_factory=dict)

    @property
    def dropped(self) -> int:
        return self.exact_duplicates + self.near_duplicates

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "dropped": self.dropped}


def side_files(out: Path) -> tuple[Path, Path, Path]:
    """The three files of a cleaning: kept, rejected, changes."""
    return out, out.with_suffix(".rejected.jsonl"), out.with_suffix(".changes.jsonl")


def clean(
    source: Path,
    out: Path,
    rule_set: RuleSet,
    *,
    cases: Mapping[str, str] | None = None,
    progress: Progress = lambda done, total, phase: None,
) -> Cleaned:
    """Clean `source` into `out` and the two files beside it.

    `cases` are the user turns of the evaluation cases by id: a record that holds one is rejected.
    Raises ConfigurationError when the source cannot be read or an output is the source or is
    there already, StageError when the disk is full or the source changed meanwhile.
    """
    files = side_files(out)
    outputs.refuse(files, [source])
    with regular_file.opened(source) as stream:
        encoding = text_encoding.find(stream)
        before = os.fstat(stream.fileno())
    kept_file, rejects_file, changes_file = map(str, files)
    result = Cleaned(
        str(source), kept_file, rejects_file, changes_file, encoding.name, rule_set.name
    )
    with (
        outputs.written(files) as (kept, rejects, changes),
        tempfile.TemporaryFile(dir=out.parent) as pile,
        rejects.open("wb") as side,
        changes.open("wb") as log,
    ):
        work = _Cleaning(result, encoding, rule_set, Cases(dict(cases or {})), pile, side, log)
        for line in _lines(source, encoding):
            work.take(line)
            progress(line.byte, before.st_size, "checking")
        with kept.open("wb") as last:
            work.write_kept(last, progress)
        _require_unchanged(source, before)
    return result


def _require_unchanged(source: Path, before: os.stat_result) -> None:
    try:
        after = source.stat()
    except OSError:  # gone by now, but it was read to its end
        return
    names = ("st_ino", "st_size", "st_mtime_ns")
    if any(getattr(before, name) != getattr(after, name) for name in names):
        raise StageError(
            "changed while it was read", where=str(source), do="clean it again, at rest"
        )


def _lines(source: Path, encoding: text_encoding.Found) -> Iterator[TextLine | BadLine]:
    with regular_file.opened(source) as stream:
        yield from text_encoding.lines(stream, encoding)


class _Cleaning:
    """One pass over the lines. Usable records are piled up in a file; of each, 272 bytes stay in
    memory until the near duplicates are known."""

    def __init__(
        self,
        result: Cleaned,
        encoding: text_encoding.Found,
        rule_set: RuleSet,
        cases: Cases,
        pile: IO[bytes],
        side: IO[bytes],
        log: IO[bytes],
    ) -> None:
        self._result, self._cases = result, cases
        self._pile, self._side, self._log = pile, side, log
        self._validator = Validator(rule_set)
        self._leak, self._near = _rule(rule_set, "leakage"), _rule(rule_set, "near-duplicate")
        self._utf8, self._marked = encoding.encoding == "utf-8", encoding.mark > 0
        self._first: dict[bytes, int] = {}
        self._numbers, self._bytes, self._starts = array("Q"), array("Q"), array("Q")
        self._sketches = bytearray()
        self._piled = 0

    def take(self, line: TextLine | BadLine) -> None:
        """Put one line of the source where it belongs."""
        counts: Counter[str] = Counter()
        raw = ""
        if isinstance(line, TextLine):
            raw = line.text.strip("\ufeff \t\r\n")
            if not raw.strip():
                self._result.blank += 1
                return
            counts = self._fixes_of_line(line)
            read = records.decode(raw.encode(), line.number, line.byte)
            if isinstance(read, BadLine) and not self._utf8:
                read = replace(read, byte=line.byte)  # it counted in UTF-8
        else:
            read = line
        self._result.lines += 1
        if not isinstance(read, Line):
            assert read is not None
            self._reject(read.number, read.byte, {"raw": raw[:RAW_CHARACTERS]}, [unreadable(read)])
            return
        record, found_fixes = fixes.fix(read.record)
        findings = self._validator.check(record)
        if self._leak and (leak := self._leakage(record, self._leak)):
            findings.append(leak)
        if not is_valid(findings):
            errors = [each for each in findings if each.severity == "error"]
            self._reject(read.number, read.byte, {"record": record}, errors)
            return
        self._keep(read, record, counts + found_fixes, raw)

    def write_kept(self, out: IO[bytes], progress: Progress) -> None:
        """Find the near duplicates among the usable records, and write the others."""
        dropped = self._near_duplicates()
        total = len(self._numbers)
        ends = [*self._starts, self._piled][1:]
        self._pile.seek(0)
        for place, (start, end) in enumerate(zip(self._starts, ends, strict=True)):
            line = self._pile.read(end - start)
            if place in dropped:
                first, alike = dropped[place]
                self._result.near_duplicates += 1
                self._note(
                    self._numbers[place],
                    self._bytes[place],
                    _id_in(line),
                    dropped="near",
                    like=self._numbers[first],
                    alike=round(alike, 3),
                )
            else:
                self._result.kept += 1
                out.write(line)
            progress(place + 1, total, "writing")

    def _fixes_of_line(self, line: TextLine) -> Counter[str]:
        counts: Counter[str] = Counter()
        if line.text.startswith("\ufeff") or (line.number == 1 and self._marked):
            counts["byte-order mark"] += 1
        if not self._utf8:
            counts["encoding"] += 1
        if line.text.endswith("\r\n"):
            counts["line end"] += 1
        return counts

    def _keep(self, line: Line, record: Record, counts: Counter[str], raw: str) -> None:
        text = duplicates.plain(compared(record))
        first = self._first.setdefault(duplicates.digest(text), line.number)
        if first != line.number:
            self._result.exact_duplicates += 1
            self._note(line.number, line.byte, id_of(record), dropped="exact", like=first, alike=1)
            return
        if counts:
            self._result.fixed += 1
            for name, count in counts.items():
                self._result.fixes[name] = self._result.fixes.get(name, 0) + count
            self._note(line.number, line.byte, id_of(record), fixed=dict(counts))
        # An untouched record keeps its own spelling of the JSON.
        untouched = record is line.record
        written = raw.encode() + b"\n" if untouched else records.encode(record)
        self._pile.write(written)
        self._numbers.append(line.number)
        self._bytes.append(line.byte)
        self._starts.append(self._piled)
        self._piled += len(written)
        if self._near:
            self._sketches += duplicates.sketch(duplicates.gram_hashes(text))

    def _near_duplicates(self) -> dict[int, tuple[int, float]]:
        """The places of the records to drop: the kept one that each is like, and how much.

        Dropping can bring two others beside each other that were not compared before, so the
        search is repeated on what is left until it finds nothing: a second cleaning finds nothing
        either.
        """
        bar = self._near.bar if self._near else None
        if bar is None:
            return {}
        dropped: dict[int, tuple[int, float]] = {}
        left = list(range(len(self._numbers)))
        while True:
            sketches = b"".join(
                self._sketches[place * _SKETCH : (place + 1) * _SKETCH] for place in left
            )
            before = len(dropped)
            pairs = duplicates.near(sketches, lambda at: self._text(left[at]), bar)  # noqa: B023
            for pair in pairs:
                earlier, later, alike = left[pair.earlier], left[pair.later], pair.alike
                if earlier in dropped:
                    earlier = dropped[earlier][0]
                    alike = duplicates.jaccard(
                        duplicates.gram_hashes(self._text(earlier)),
                        duplicates.gram_hashes(self._text(later)),
                    )
                if alike >= bar:
                    dropped[later] = (earlier, alike)
            if len(dropped) == before:
                return dropped
            left = [place for place in left if place not in dropped]

    def _text(self, place: int) -> str:
        self._pile.seek(self._starts[place])
        end = self._starts[place + 1] if place + 1 < len(self._starts) else self._piled
        line = self._pile.read(end - self._starts[place])
        return duplicates.plain(compared(json.loads(line)))

    def _leakage(self, record: Record, rule: Rule) -> Finding | None:
        closest = self._cases.closest(records.content(record, "user"), rule.bar or 1.0)
        if closest is None:
            return None
        message = f"{rule.what}: {closest[1]:.0%} like {closest[0]}"
        return Finding(
            rule.id, rule.severity, message, "$", None, None, rule.suggestion, "", rule.group
        )

    def _reject(
        self, number: int, byte: int, held: dict[str, Any], findings: list[Finding]
    ) -> None:
        self._result.rejected += 1
        for rule in {finding.rule for finding in findings}:
            self._result.reasons[rule] = self._result.reasons.get(rule, 0) + 1
        found = [asdict(finding) for finding in findings]
        self._side.write(records.encode({"line": number, "byte": byte, **held, "findings": found}))

    def _note(self, number: int, byte: int, id: str | None, **what: Any) -> None:
        self._log.write(records.encode({"line": number, "byte": byte, "id": id, **what}))


def _rule(rule_set: RuleSet, check: str) -> Rule | None:
    return next((rule for rule in rule_set.rules if rule.check == check), None)


def _id_in(line: bytes) -> str | None:
    return id_of(json.loads(line))
