"""The real program in a pseudo-terminal, with what is on its screen."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pexpect
import pyte

HARUON = str(Path(sys.executable).with_name("haruon"))


class Terminal:
    """A terminal of a given size that runs one command."""

    def __init__(
        self, *arguments: str, folder: Path, columns: int = 80, lines: int = 24, **environment: str
    ) -> None:
        self.screen = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self.screen)
        self.raw = b""
        variables = os.environ | {"TERM": "xterm-256color", "COLORTERM": "truecolor"}
        for name in ("TMUX", "NO_COLOR"):
            variables.pop(name, None)
        self.child = pexpect.spawn(
            HARUON,
            list(arguments),
            cwd=str(folder),
            env=variables | environment,
            dimensions=(lines, columns),
            timeout=None,
        )

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self.child.close(force=True)

    @property
    def text(self) -> str:
        """What is on the screen, line by line. A wide character fills two cells, once."""
        return "\n".join(
            "".join(line[column].data for column in range(self.screen.columns)).rstrip()
            for line in (self.screen.buffer[row] for row in range(self.screen.lines))
        )

    def until(self, shown: str | Callable[[str], bool], seconds: float = 30.0) -> str:
        """Read until `shown` is on the screen and return the screen; fail after `seconds`."""
        holds = shown if callable(shown) else lambda text: shown in text
        deadline = time.monotonic() + seconds
        while True:
            self._read()
            if holds(self.text):
                return self.text
            assert self.child.isalive(), f"the program ended:\n{self.text}"
            assert time.monotonic() < deadline, f"not on the screen: {shown}\n{self.text}"

    def press(self, keys: str) -> None:
        self.child.send(keys)

    def kill(self) -> None:
        """As `kill -9` and a closed terminal do."""
        os.kill(self.child.pid, signal.SIGKILL)
        self.child.close(force=True)

    def wait_for_end(self, seconds: float = 10.0) -> float:
        """Read until the program has ended; return how long that took, in seconds."""
        started = time.monotonic()
        while self.child.isalive():
            self._read()
            assert time.monotonic() - started < seconds, f"still there:\n{self.text}"
        return time.monotonic() - started

    def _read(self) -> None:
        try:
            block = self.child.read_nonblocking(1 << 16, timeout=0.1)
        except pexpect.TIMEOUT:
            return
        except pexpect.EOF:
            return
        self.raw += block
        self._stream.feed(block)
