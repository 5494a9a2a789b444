"""The append-only event log of one run: one writer, any number of readers.

One JSON object per line with `v` (format version), `seq`, `t` (Unix seconds), `attempt` and
`kind`; the rest depends on the kind:

    queued      devices                   waits for its device
    running     host, pid                 the stage's own code starts
    progress    done, total, phase, unit
    metric      step, values              NaN and infinities as the strings "nan", "inf", "-inf"
    log         level, text
    piece       text                      of what a model writes, as it comes
    sample      step, prompt, text        what the model in training answers
    checkpoint  step, path
    changed     step, why, values         settings by name: before, now; from this step on
    artifact    name, sha256, bytes
    resource    cpu_percent, rss_bytes, gpu_bytes...
    stopping    -
    finished    result                    the end of an attempt is one of these three
    failed      error, exit_code
    stopped     -
"""

from __future__ import annotations

import errno
import fcntl
import json
import math
import os
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

FORMAT_VERSION = 1
ENDS = frozenset({"finished", "failed", "stopped"})
LIFECYCLE = ENDS | {"queued", "running", "stopping"}
TAIL_BYTES = 1 << 16
_LOCK_SECONDS = 2.0

Event = dict[str, Any]


class EventWriter:
    """Appends events. A partial last line, left by a killed writer, is cut off first.

    Raises BlockingIOError when another process still writes this log.
    """

    def __init__(self, path: Path, *, attempt: int) -> None:
        self.path = path
        self.attempt = attempt
        self._closed = False
        self._lock = threading.Lock()
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        self._lock_file()
        self._end = self._cut_partial_line()
        self._seq = self._last_seq()

    def write(self, kind: str, **fields: Any) -> None:
        """Append one event in one system call. Lifecycle events are synced to the disk.

        The end of an attempt is its last event: what other threads write later is dropped.
        """
        with self._lock:
            if self._closed:
                return
            self._seq += 1
            event = {
                "v": FORMAT_VERSION,
                "seq": self._seq,
                "t": round(time.time(), 3),
                "attempt": self.attempt,
                "kind": kind,
                **fields,
            }
            line = (json.dumps(_plain(event), ensure_ascii=False) + "\n").encode(
                "utf-8", errors="replace"
            )
            self._append(line)
            if kind in LIFECYCLE:
                os.fsync(self._descriptor)
            self._closed = kind in ENDS

    def _lock_file(self) -> None:
        """A killed process keeps its lock until its last thread is gone: wait a moment for it."""
        deadline = time.monotonic() + _LOCK_SECONDS
        while True:
            try:
                return fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    os.close(self._descriptor)
                    raise
                time.sleep(0.02)

    def close(self) -> None:
        """Let another process write this log."""
        with self._lock:
            self._closed = True
            os.close(self._descriptor)

    def _append(self, line: bytes) -> None:
        try:
            written = os.pwrite(self._descriptor, line, self._end)
        except OSError:
            os.ftruncate(self._descriptor, self._end)
            raise
        if written < len(line):  # the disk filled up in the middle of the line
            os.ftruncate(self._descriptor, self._end)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._end += written

    def _cut_partial_line(self) -> int:
        size = os.fstat(self._descriptor).st_size
        end = size
        while end > 0:
            start = max(0, end - TAIL_BYTES)
            newline = os.pread(self._descriptor, end - start, start).rfind(b"\n")
            if newline >= 0:
                end = start + newline + 1
                break
            end = start
        if end < size:
            os.ftruncate(self._descriptor, end)
        return end

    def _last_seq(self) -> int:
        reach = TAIL_BYTES
        while True:
            start = max(0, self._end - reach)
            lines = os.pread(self._descriptor, self._end - start, start).splitlines()
            for event in parse(reversed(lines)):
                return int(event["seq"])
            if not start:
                return 0
            reach *= 4


class EventReader:
    """Reads a log from where the last call left off. A partial last line is end of file."""

    def __init__(self, path: Path, *, attempt: int = 1) -> None:
        """Events of attempts before `attempt` are passed over."""
        self._path = path
        self._attempt = attempt
        self._offset = 0

    def read(self, max_bytes: int = 4 << 20) -> list[Event]:
        """The events since the last call, at most about `max_bytes` of them."""
        found = parse(self.read_lines(max_bytes).splitlines())
        return [event for event in found if event["attempt"] >= self._attempt]

    def read_lines(self, max_bytes: int = 4 << 20) -> bytes:
        """The same as the whole lines of the log, of any attempt."""
        try:
            with self._path.open("rb") as stream:
                stream.seek(self._offset)
                block = stream.read(max_bytes)
                if b"\n" not in block and len(block) == max_bytes:
                    block += stream.readline()
        except FileNotFoundError:
            return b""
        whole = block[: block.rfind(b"\n") + 1]
        self._offset += len(whole)
        return whole


def tail(path: Path) -> list[Event]:
    """The whole events in the last 64 KiB of a log, oldest first; of more than that where they
    hold none, as a result may be larger."""
    reach = TAIL_BYTES
    while True:
        try:
            with path.open("rb") as stream:
                size = stream.seek(0, os.SEEK_END)
                start = max(0, size - reach)
                stream.seek(start)
                block = stream.read()
        except FileNotFoundError:
            return []
        if start:
            block = block[block.find(b"\n") + 1 :]
        found = list(parse(block[: block.rfind(b"\n") + 1].splitlines()))
        if found or not start:
            return found
        reach *= 4


def parse(lines: Iterable[bytes]) -> Iterable[Event]:
    """The events of complete lines; a line that is no event is passed over."""
    for line in lines:
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict) and "kind" in event and "seq" in event:
            yield event


def number(value: Any) -> float:
    """A metric's value as a float; the strings for NaN and infinities become what they mean."""
    return float(value)


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
