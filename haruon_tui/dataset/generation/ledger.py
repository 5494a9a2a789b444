"""The ledger: every request and what came of it, one JSON line each, never changed.

    dialect    what the server takes
    sent       id, input, most              before it is sent; tokens, at most
    failed     id, what, maybe_paid
    answered   id, slot, try, step, text, finish, input, output, counted
    judged     slot, try, step, rules, kept, faults, record

An example is a *slot* of the plan. It is asked for in *tries*, each of the steps "write" and, when
the answer has faults, "repair". What is answered is never asked for again; a request without an
end was in flight when the process died, and counts as paid. Lines that are paid for or decide are
synced to the disk before anything rests on them.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from haruon_tui.dataset.generation.dialect import Dialect
from haruon_tui.dataset.generation.endpoint import Answer
from haruon_tui.dataset.generation.spending import Tokens
from haruon_tui.dataset.records import Record
from haruon_tui.errors import ConfigurationError, StageError

Step = Literal["write", "repair"]
STEPS: tuple[Step, ...] = ("write", "repair")


class Key(NamedTuple):
    """Which answer: of which slot (from 0), in which try (from 0), in which step."""

    slot: int
    attempt: int
    step: Step


@dataclass(frozen=True)
class Judged:
    """`faults` are (rule, words); `record` is None where the answer could not be read."""

    kept: bool
    faults: tuple[tuple[str, str], ...]
    record: Record | None


@dataclass
class State:
    """What a ledger says. `rules` chooses the verdicts: those of other rules do not count."""

    rules: str
    answers: dict[Key, Answer] = field(default_factory=dict)
    verdicts: dict[Key, Judged] = field(default_factory=dict)
    kept: dict[int, Key] = field(default_factory=dict)
    """By slot, which of its answers became the example."""
    dialect: Dialect = field(default_factory=Dialect)
    requests: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    paid: Tokens = field(default_factory=Tokens)
    lost: Tokens = field(default_factory=Tokens)
    """Of requests that the server may have answered without our seeing it, at most."""
    open: dict[int, Tokens] = field(default_factory=dict)
    """By id, the requests without an end, and what they cost at most."""
    unreadable: int = 0

    def next(self, slot: int, tries: int) -> Key | None:
        """The answer that is to be asked for, or is there and to be judged; None when the slot has
        its example or has had all its tries."""
        for attempt in range(tries):
            for step in STEPS:
                key = Key(slot, attempt, step)
                verdict = self.verdicts.get(key)
                if verdict is None:
                    return key
                if verdict.kept:
                    return None
                if not self.answers[key].text.strip():
                    break  # there is nothing to repair
        return None

    def rejected(self, tries: int) -> Iterator[tuple[Key, Judged]]:
        """The last verdict of every try that came to nothing."""
        for key, verdict in self.verdicts.items():
            last = key.step == "repair" or not self.answers[key].text.strip()
            if last and not verdict.kept and key.attempt < tries:
                yield key, verdict

    def records(self, count: int | None = None) -> list[Record]:
        """The examples of the first `count` slots, or of all, in the order of the slots."""
        keys = [key for _, key in sorted(self.kept.items()) if count is None or key.slot < count]
        found = [self.verdicts[key].record for key in keys]
        return [record for record in found if record is not None]

    @property
    def spent(self) -> Tokens:
        """Paid for sure, lost, and in flight at most."""
        return sum(self.open.values(), self.paid + self.lost)

    def take(self, line: dict[str, Any]) -> None:
        """Take in one line. Raises LookupError, TypeError or ValueError when it is none."""
        kind = line["kind"]
        if kind == "sent":
            self.requests += 1
            self.open[int(line["id"])] = Tokens(int(line["input"]), int(line["most"]))
        elif kind == "failed":
            most = self.open.pop(int(line["id"]), Tokens())
            self.failures[str(line["what"])] += 1
            self.lost += most if line["maybe_paid"] else Tokens()
        elif kind == "answered":
            given, written = int(line["input"]), int(line["output"])
            self.open.pop(int(line["id"]), None)
            self.paid += Tokens(given, written)
            self.answers[_key(line)] = Answer(
                str(line["text"]), str(line["finish"]), given, written, bool(line["counted"])
            )
        elif kind == "judged" and line["rules"] == self.rules and _key(line) in self.answers:
            key = _key(line)
            faults = tuple((str(rule), str(words)) for rule, words in line["faults"])
            self.verdicts[key] = Judged(bool(line["kept"]), faults, line["record"])
            if line["kept"]:
                self.kept.setdefault(key.slot, key)
        elif kind == "dialect":
            self.dialect = Dialect.read(line["dialect"])


def read(path: Path, rules: str) -> State:
    """The state of a ledger, an empty one where there is none. Another process may write it: a
    partial last line is its end."""
    state = State(rules)
    try:
        with path.open("rb") as stream:
            _read(state, stream)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise _unusable(path, error) from error
    return state


class Ledger:
    """The one writer of a ledger. Raises ConfigurationError while another job writes it."""

    def __init__(self, path: Path, rules: str) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        except OSError as error:
            raise _unusable(path, error) from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._descriptor)
            raise ConfigurationError(
                "another job generates these examples",
                where=str(path),
                do="haruon jobs list --active names it",
            ) from None
        self.path = path
        self.state = State(rules)
        with path.open("rb") as stream:
            end = _read(self.state, stream)
        os.ftruncate(self._descriptor, end)  # a partial last line, left by a killed writer
        self._sync_folder()
        # They have ended with the process that sent them; nobody knows whether they were answered.
        for number in list(self.state.open):
            self.failed(number, "in flight when the job died", maybe_paid=True)

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def sent(self, most: Tokens) -> int:
        """A request is about to be sent; returns its id."""
        number = self.state.requests
        self._write({"kind": "sent", "id": number, "input": most.input, "most": most.output})
        return number

    def failed(self, number: int, what: str, *, maybe_paid: bool) -> None:
        self._write({"kind": "failed", "id": number, "what": what, "maybe_paid": maybe_paid})

    def answered(self, number: int, key: Key, answer: Answer) -> None:
        line = {
            "kind": "answered",
            "id": number,
            **_named(key),
            "text": answer.text,
            "finish": answer.finish,
            "input": answer.input_tokens,
            "output": answer.output_tokens,
            "counted": answer.counted,
        }
        self._write(line, sync=True)

    def judged(self, key: Key, faults: Sequence[tuple[str, str]], record: Record | None) -> None:
        """The example is kept when there are no faults."""
        line = {
            "kind": "judged",
            **_named(key),
            "rules": self.state.rules,
            "kept": not faults,
            "faults": [list(fault) for fault in faults],
            "record": record,
        }
        self._write(line, sync=True)

    def learned(self, dialect: Dialect) -> None:
        self._write({"kind": "dialect", "dialect": dialect.as_dict()})

    def _write(self, line: dict[str, Any], *, sync: bool = False) -> None:
        text = json.dumps({**line, "t": round(time.time(), 3)}, ensure_ascii=False) + "\n"
        data = text.encode("utf-8", errors="replace")  # half of a surrogate pair has no UTF-8
        end = os.fstat(self._descriptor).st_size
        try:
            written = os.write(self._descriptor, data)
            if written < len(data):
                raise OSError(28, os.strerror(28), str(self.path))
            if sync:
                os.fsync(self._descriptor)
        except OSError as error:
            os.ftruncate(self._descriptor, end)
            raise _unusable(self.path, error) from error
        self.state.take(json.loads(data))

    def _sync_folder(self) -> None:
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _read(state: State, stream: Any) -> int:
    """Take in all whole lines; returns the byte after the last of them."""
    end = 0
    for raw in stream:
        if not raw.endswith(b"\n"):
            break
        end += len(raw)
        try:
            state.take(json.loads(raw))
        except (ValueError, LookupError, TypeError, AttributeError):
            state.unreadable += 1
    return end


def _named(key: Key) -> dict[str, Any]:
    return {"slot": key.slot, "try": key.attempt, "step": key.step}


def _key(line: dict[str, Any]) -> Key:
    step = line["step"]
    if step not in STEPS:
        raise ValueError(step)
    return Key(int(line["slot"]), int(line["try"]), step)


def _unusable(path: Path, error: OSError) -> StageError:
    return StageError(
        f"the ledger cannot be written or read: {error.strerror or error}",
        where=str(path),
        expected="a file and a disk with room: nothing is asked for that cannot be noted",
        do="make room or mend the permissions, then run it again: it goes on from there",
    )
