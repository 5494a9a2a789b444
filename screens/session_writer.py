"""The thread that keeps a conversation on the disk while it goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

from haruon_tui.chat.sessions import SessionFile
from haruon_tui.errors import HaruonError

Line = dict[str, Any]


class SessionWriter:
    """Used on the event loop, where no method waits. Not a daemon thread: what was said last is
    written before the program ends. What could not be written is tried again with what follows.
    """

    def __init__(self, problem: Callable[[HaruonError], None]) -> None:
        """`problem` is called in the thread, once until writing works again."""
        self._problem = problem
        self._queue: SimpleQueue[tuple[SessionFile, Line | None] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._told = False

    def add(self, file: SessionFile, line: Line) -> None:
        """Add a line to a file."""
        self._put((file, line))

    def release(self, file: SessionFile) -> None:
        """Let a file go, once everything is in it."""
        self._put((file, None))

    def close(self) -> None:
        """Release every file and end, once everything is written."""
        if self._thread:
            self._queue.put(None)

    def _put(self, item: tuple[SessionFile, Line | None]) -> None:
        self._queue.put(item)
        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, name="keeping")
            self._thread.start()

    def _serve(self) -> None:
        waiting: dict[SessionFile, list[Line]] = {}
        while item := self._queue.get():
            batch = [item]
            over = False
            while not self._queue.empty() and not over:
                if following := self._queue.get():
                    batch.append(following)
                else:
                    over = True
            for file, line in batch:
                if line is None:
                    self._write(file, waiting.pop(file, []))
                    file.close()
                else:
                    waiting.setdefault(file, []).append(line)
            for file, lines in waiting.items():
                if lines and self._write(file, lines):
                    lines.clear()
            if over:
                break
        for file in waiting:
            file.close()

    def _write(self, file: SessionFile, lines: list[Line]) -> bool:
        if not lines:
            return True
        try:
            file.add(lines)
        except HaruonError as error:
            if not self._told:
                self._problem(error)
            self._told = True
            return False
        self._told = False
        return True
