"""Processes that speak newline-delimited JSON over pipes: one object per line, both ways."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from typing import Any

Message = dict[str, Any]

_CLOSE_SECONDS = 2.0
_LAST_WORDS = 600


class Child:
    """`python -m module` as a child process; it ends when this side closes or dies.

    `on_message` gets what it says and `on_end` its last words once it has ended by itself, both
    in a thread of this object.
    """

    def __init__(
        self,
        module: str,
        on_message: Callable[[Message], None],
        on_end: Callable[[str], None] = lambda words: None,
    ) -> None:
        self._on_message = on_message
        self._on_end = on_end
        self._sending = threading.Lock()
        self._closing = False
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the child
        self._process = subprocess.Popen(
            # -P: a file in the current folder must not shadow a library
            [sys.executable, "-P", "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._complaints,
            start_new_session=True,  # Ctrl+C is not for it
        )
        threading.Thread(target=self._read, name=f"reading {module}", daemon=True).start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, message: Message) -> bool:
        """Whether the child could still be told."""
        assert self._process.stdin
        try:
            with self._sending:
                self._process.stdin.write(_line(message))
                self._process.stdin.flush()
        except (OSError, ValueError):  # the pipe is broken, or closed on our side
            return False
        return True

    def kill(self) -> None:
        """End it at once, whatever it is doing."""
        self._closing = True
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """Let it end; kill it when it does not. May be called twice."""
        self._closing = True
        assert self._process.stdin
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(_CLOSE_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()

    def _read(self) -> None:
        assert self._process.stdout
        with self._process.stdout as lines:
            for line in lines:
                with contextlib.suppress(ValueError):  # a library that prints
                    self._on_message(json.loads(line))
        code = self._process.wait()
        if not self._closing:
            self._on_end(f"it was ended ({_how(code)}){self._last_words()}")

    def _last_words(self) -> str:
        size = self._complaints.seek(0, os.SEEK_END)
        self._complaints.seek(max(0, size - _LAST_WORDS))
        said = self._complaints.read().decode("utf-8", errors="replace").split("\n")
        lines = [line.strip() for line in said if line.strip()]
        return f": {lines[-1]}" if lines else ""


class Parent:
    """The side of the child: what is asked of it, and how it answers.

    Call it once, first: afterwards nothing else reaches the pipe, and the process ends as soon as
    its parent closes its side.
    """

    def __init__(self) -> None:
        for number in (signal.SIGINT, signal.SIGHUP):  # the parent decides when this ends
            signal.signal(number, signal.SIG_IGN)
        self._sending = threading.Lock()
        self._out = os.dup(1)
        os.dup2(2, 1)
        sys.stdout = sys.stderr
        self._in = os.dup(0)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)

    def listen(self, on_message: Callable[[Message], None]) -> None:
        """Hand every request to `on_message`, in a thread."""
        threading.Thread(target=self._listen, args=(on_message,), daemon=True).start()

    def say(self, message: Message) -> None:
        """Answer. May be called from any thread."""
        line = _line(message)
        with self._sending, contextlib.suppress(BrokenPipeError):
            while line:
                line = line[os.write(self._out, line) :]

    def _listen(self, on_message: Callable[[Message], None]) -> None:
        with os.fdopen(self._in, "rb") as lines:
            for line in lines:
                on_message(json.loads(line))
        os._exit(0)


def _line(message: Message) -> bytes:
    # Escaped, because a dataset may hold lone surrogates, which UTF-8 cannot.
    return json.dumps(message).encode("ascii") + b"\n"


def _how(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    known = -code in {one.value for one in signal.Signals}
    return signal.Signals(-code).name if known else f"signal {-code}"
