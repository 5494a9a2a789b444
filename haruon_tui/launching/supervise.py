"""The job's side of a training with several ranks: start them, hear them, end them.

Every rank writes an event log of its own, ranks/<rank>.jsonl in the run's folder. What rank 0
reports there is written into the run's log, of the others only warnings and how they ended.
They are asked to stop by a line on their stdin, and end by themselves when that is closed: so
none is left, whatever becomes of the job.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from haruon_tui.errors import HaruonError, StageError, Stopped
from haruon_tui.jobs.context import JobContext
from haruon_tui.jobs.events import ENDS, Event, EventReader
from haruon_tui.launching.world import SUPERVISED

STOP = b"stop\n"
AGAIN = "again"
"""The kind of the event with which a rank asks that all be started once more."""

_RELAYED = frozenset({"progress", "metric", "log", "changed", "sample", "checkpoint", "artifact"})
_OWN_FIELDS = frozenset({"v", "seq", "t", "attempt", "kind"})
_POLL_SECONDS = 0.2
_END_SECONDS = 10.0
_OF_ANOTHER = re.compile(
    r"gloo|nccl|connection (closed|reset|refused)|broken pipe|Dist\w*Error", re.I
)
"""In the words of an error that only says that another rank has gone."""
_EXIT_CODES = re.compile(r"rank\s*: (\d+) \(local_rank: \d+\)\s*exitcode\s*: (-?\d+)")
"""In the report of torch's launcher (torch/distributed/elastic/multiprocessing/errors)."""


@dataclass
class _Rank:
    number: int
    reader: EventReader
    pid: int = 0
    host: str = ""
    end: Event | None = None
    again: bool = False


def log_of(folder: Path, rank: int) -> Path:
    """The event log of one rank of the run in `folder`."""
    return folder / "ranks" / f"{rank}.jsonl"


def run_ranks(
    job: JobContext, command: Sequence[str], total: int, *, all_finish: bool = False
) -> dict[str, Any] | None:
    """Start `command`, wait for its `total` ranks, and return the result of rank 0; None where
    they are to be started again, with less in memory at once. With `all_finish` it takes every
    rank's work, not that of rank 0, for which the others were needed to the end.

    Raises Stopped after a stop was asked for, the error of the rank that failed first, and
    StageError for one that died without a word or where the launcher itself failed.
    """
    (job.folder / "ranks").mkdir(exist_ok=True)
    ranks = [_Rank(number, EventReader(log_of(job.folder, number))) for number in range(total)]
    for rank in ranks:
        while rank.reader.read():
            pass  # of earlier attempts
    output = job.folder / "output.log"
    said_before = output.stat().st_size if output.exists() else 0
    try:
        with output.open("ab") as stream:
            launcher = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=stream,
                stderr=subprocess.STDOUT,
                env=os.environ | {SUPERVISED: str(job.attempt), "PYTHONSAFEPATH": "1"},
            )
    except OSError as error:
        raise StageError(
            f"the launcher cannot be started: {error.strerror}", where=command[0]
        ) from error
    try:
        _follow(launcher, ranks, job)
    finally:
        _end(launcher, ranks)
    said = output.read_bytes()[said_before:].decode("utf-8", "replace")
    return _outcome(ranks if all_finish else ranks[:1], ranks, job, said, launcher.returncode)


def _follow(launcher: subprocess.Popen[bytes], ranks: list[_Rank], job: JobContext) -> None:
    """Relay what the ranks report until the launcher has ended."""
    told = False
    while True:
        ended = launcher.poll() is not None
        for rank in ranks:
            for event in rank.reader.read():
                _take(rank, event, job)
        if ended:
            return
        if job.stop_requested and not told:
            told = True
            _tell(launcher, STOP)
        time.sleep(_POLL_SECONDS)


def _take(rank: _Rank, event: Event, job: JobContext) -> None:
    kind = event["kind"]
    fields = {name: value for name, value in event.items() if name not in _OWN_FIELDS}
    if kind == "running":
        rank.pid, rank.host, rank.end = event["pid"], event["host"], None
    elif kind in ENDS:
        rank.end = event
    elif kind == AGAIN:
        rank.again = True
    elif rank.number == 0 and kind in _RELAYED:
        job.writer.write(kind, **fields)
    elif kind == "log" and event["level"] != "info":
        job.log(f"rank {rank.number}: {event['text']}", event["level"])
    elif kind == "changed":
        job.writer.write(kind, **fields)


def _tell(launcher: subprocess.Popen[bytes], words: bytes) -> None:
    assert launcher.stdin
    try:
        launcher.stdin.write(words)
        launcher.stdin.flush()
    except OSError:
        return  # it is ending


def _end(launcher: subprocess.Popen[bytes], ranks: list[_Rank]) -> None:
    """Let go of what still runs: the ranks end with their stdin, the launcher after them."""
    assert launcher.stdin
    with contextlib.suppress(OSError):
        launcher.stdin.close()
    try:
        launcher.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        launcher.kill()
        launcher.wait()
    here = os.uname().nodename
    deadline = time.monotonic() + _END_SECONDS
    for rank in ranks:
        while rank.pid and rank.host == here and is_running(rank.pid):
            if time.monotonic() > deadline:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(rank.pid, signal.SIGKILL)
                break
            time.sleep(0.05)


def is_running(pid: int) -> bool:
    """Whether a process of this machine is there, and not only its exit status."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _outcome(
    needed: list[_Rank], ranks: list[_Rank], job: JobContext, said: str, code: int | None
) -> dict[str, Any] | None:
    first = ranks[0].end
    if first and all(rank.end and rank.end["kind"] == "finished" for rank in needed):
        return dict(first["result"])
    kinds = {rank.end["kind"] for rank in ranks if rank.end is not None}
    if job.stop_requested and ("stopped" in kinds or not kinds):
        raise Stopped  # with no word of any rank, Slurm has signalled them too
    if any(rank.again for rank in ranks):
        return None
    raise _failure(ranks, job, said, code)


def _failure(ranks: list[_Rank], job: JobContext, said: str, code: int | None) -> HaruonError:
    """The error of the rank that the others failed because of."""
    again = f"haruon jobs resume {job.id} goes on from the last checkpoint"
    failed = [(rank, rank.end) for rank in ranks if rank.end and rank.end["kind"] == "failed"]
    failed.sort(key=lambda one: one[1]["t"])
    of_their_own = [one for one in failed if not _OF_ANOTHER.search(one[1]["error"]["what"])]
    if of_their_own:
        return _spoken(*of_their_own[0], ranks)
    died = [
        (int(rank), -int(status))
        for rank, status in _EXIT_CODES.findall(said)
        if int(rank) < len(ranks) and int(status) < 0 and -int(status) != signal.SIGTERM
    ]
    if died:
        rank, number = died[0]
        return StageError(
            f"{_named(ranks[rank], ranks)} was ended by signal {number} ({_signal_name(number)})",
            where=f"ranks/{rank}.jsonl and output.log in {job.folder}",
            expected="every rank to run to the end"
            + ("; the system sends SIGKILL when memory runs out" if number == 9 else ""),
            do=again,
        )
    silent = [rank for rank in ranks if rank.end is None]
    if failed and silent:
        gone = silent[0]
        return StageError(
            f"{_named(gone, ranks)} is gone: it ended without a word, and rank "
            f"{failed[0][0].number} lost its connection to it",
            where=f"ranks/{gone.number}.jsonl and output.log in {job.folder}",
            expected="every rank to run to the end",
            do=f"see whether its machine still runs; then {again}",
        )
    if failed:
        return _spoken(*failed[0], ranks)
    lines = [line for line in said.splitlines() if line.strip()]
    unstarted = [rank.number for rank in ranks if not rank.pid]
    if unstarted:
        names = ", ".join(map(str, unstarted))
        return StageError(
            f"{len(unstarted)} of {len(ranks)} ranks never started ({names}); the launcher says: "
            + (lines[-1][:300] if lines else f"nothing, and ended with {code}"),
            where=f"output.log in {job.folder}",
            do=f"see haruon jobs logs {job.id}; then {again}",
        )
    numbers = ", ".join(str(rank.number) for rank in silent)
    return StageError(
        f"rank {numbers} of {len(ranks)} ended without a word",
        where=f"output.log in {job.folder}",
        do=f"see haruon jobs logs {job.id}; then {again}",
    )


def _spoken(rank: _Rank, end: Event, ranks: list[_Rank]) -> HaruonError:
    """The error that a rank wrote, with its number before it."""
    parts = dict(end["error"])
    return StageError(
        f"{_named(rank, ranks)}: {parts.pop('what')}",
        where=parts.get("where"),
        expected=parts.get("expected"),
        do=parts.get("do"),
    )


def _named(rank: _Rank, ranks: list[_Rank]) -> str:
    return f"rank {rank.number} of {len(ranks)}{f' on {rank.host}' if rank.host else ''}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "unknown"
