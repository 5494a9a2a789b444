"""The reports of a round with one model, and what a reader says of them: one JSON line each.

    round     format, model, path, rules, cases
    report    case, of_set, text, reason, tokens, score
    verdict   case, verdict
    note      case, note

Lines are only added, and synced to the disk before anything is said to be saved. A verdict or a
note is of the newest report of its case; the last one holds. A line cut off by a crash is passed
over.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from haruon_tui.chat.protocol import Reason
from haruon_tui.errors import StageError
from haruon_tui.evaluation.cases import Case
from haruon_tui.evaluation.scoring import CaseScore, TraitScore
from haruon_tui.evaluation.summary import GroupSummary, summarise

Verdict = Literal["good", "bad", "unsure"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)

FOLDER = Path("chat", "reports")
"""Where the rounds of a workspace lie, below its folder."""

FORMAT = 1


@dataclass
class Reported:
    """A report, how `haruon evaluate` scores it, and what the reader says of it.

    `of_set` is False for own answers and golden reports, which no tally counts.
    """

    case: Case
    of_set: bool
    text: str
    reason: Reason
    tokens: int
    score: CaseScore
    verdict: Verdict | None = None
    note: str = ""


@dataclass(frozen=True)
class About:
    """What a round is of: the model's name and file, the rule set, the run of the cases."""

    model: str
    path: str
    rules: str
    cases: str


@dataclass(frozen=True)
class Tally:
    """The set's figures by group as `haruon evaluate` has them, and the reader's verdicts."""

    reports: int
    groups: dict[str, GroupSummary]
    verdicts: dict[str, int]
    notes: list[tuple[str, str]] = field(default_factory=list)
    """(case, note), in the order of the set."""


class Round:
    """One file. Its methods touch the disk: never on the event loop. A fault of the disk is a
    StageError, and then nothing counts as said."""

    def __init__(self, path: Path, about: About) -> None:
        self.path = path
        self.about = about
        self.reports: dict[str, Reported] = {}
        """The newest report by case id."""

    @classmethod
    def begin(cls, folder: Path, about: About) -> Round:
        """A new round in a workspace. Nothing is written before there is something to keep."""
        stamp = time.strftime("%Y%m%d-%H%M%S")
        path = folder / FOLDER / f"{stamp}-{_safe(about.model)}-{os.getpid()}.jsonl"
        return cls(path, about)

    @classmethod
    def last(cls, folder: Path, about: About) -> Round | None:
        """The newest round of the same model, rules and cases; None where there is none."""
        for path in sorted((folder / FOLDER).glob("*.jsonl"), reverse=True):
            found = cls.read(path)
            if found is not None and found.about == about:
                return found
        return None

    @classmethod
    def read(cls, path: Path) -> Round | None:
        """The round in a file, None when it is none."""
        try:
            lines = path.read_bytes().split(b"\n")
            head = json.loads(lines[0])
            about = About(*(str(head[key]) for key in ("model", "path", "rules", "cases")))
            if head["kind"] != "round" or head["format"] != FORMAT:
                return None
        except (OSError, ValueError, LookupError, TypeError):
            return None
        found = cls(path, about)
        for raw in lines[1:]:
            try:
                found._take(json.loads(raw))
            except (ValueError, LookupError, TypeError, AttributeError):
                continue
        return found

    def add_report(self, reported: Reported) -> None:
        """Keep a report; it replaces an earlier one of the case, with its verdict and note."""
        self._write(
            {
                "kind": "report",
                "case": reported.case.model_dump(),
                "of_set": reported.of_set,
                "text": reported.text,
                "reason": reported.reason,
                "tokens": reported.tokens,
                "score": reported.score.as_dict(),
            }
        )

    def say(self, case: str, verdict: Verdict | None) -> None:
        """Keep a verdict on the case's report; None takes it back."""
        self._write({"kind": "verdict", "case": case, "verdict": verdict})

    def note(self, case: str, note: str) -> None:
        """Keep a note on the case's report."""
        self._write({"kind": "note", "case": case, "note": note})

    def tally(self, cases: Sequence[Case]) -> Tally:
        """What the reports of these cases come to, in the order of the cases."""
        there = [self.reports[case.id] for case in cases if case.id in self.reports]
        there = [one for one in there if one.of_set]
        said: Counter[str] = Counter(one.verdict or "none" for one in there)
        return Tally(
            len(there),
            summarise([(one.case, one.score) for one in there]),
            {name: said[name] for name in (*VERDICTS, "none")},
            [(one.case.id, one.note) for one in there if one.note],
        )

    def _take(self, line: dict[str, Any]) -> None:
        if line["kind"] == "report":
            case = Case.model_validate(line["case"])
            if line["reason"] not in get_args(Reason):
                raise ValueError(line["reason"])
            self.reports[case.id] = Reported(
                case,
                bool(line["of_set"]),
                str(line["text"]),
                line["reason"],
                int(line["tokens"]),
                score_of(line["score"]),
            )
        elif line["kind"] == "verdict":
            if line["verdict"] is not None and line["verdict"] not in VERDICTS:
                raise ValueError(line["verdict"])
            self.reports[line["case"]].verdict = line["verdict"]
        elif line["kind"] == "note":
            self.reports[line["case"]].note = str(line["note"])

    def _write(self, line: dict[str, Any]) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
            try:
                self._append(descriptor, line)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise StageError(
                f"what was said of the report is not saved: {error.strerror or error}",
                where=str(self.path),
                expected="a disk with room and a folder that can be written",
                do="make room or mend the permissions, then say it again",
            ) from error
        self._take(json.loads(_encoded(line)))

    def _append(self, descriptor: int, line: dict[str, Any]) -> None:
        size = os.fstat(descriptor).st_size
        data = b""
        if size == 0:
            data = _encoded({"kind": "round", "format": FORMAT, **self.about.__dict__})
        elif os.pread(descriptor, 1, size - 1) != b"\n":  # a line that a crash cut off
            data = b"\n"
        data += _encoded(line)
        try:
            if os.write(descriptor, data) < len(data):
                raise OSError(28, os.strerror(28))
            os.fsync(descriptor)
        except OSError:
            os.ftruncate(descriptor, size)
            raise
        if size == 0:
            folder = os.open(self.path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)


def score_of(written: dict[str, Any]) -> CaseScore:
    """A score from what CaseScore.as_dict gave. Raises TypeError or LookupError for anything
    else."""
    traits = {trait: TraitScore(**one) for trait, one in written["traits"].items()}
    return CaseScore(**{**written, "traits": traits})


def _encoded(line: dict[str, Any]) -> bytes:
    # Escaped, because a model may write a lone surrogate, which UTF-8 cannot.
    return json.dumps({**line, "t": round(time.time(), 3)}).encode("ascii") + b"\n"


def _safe(name: str) -> str:
    return "".join(char if char.isalnum() or char in ".-_" else "_" for char in name)[:60]
