"""A function called in a process of its own, so that a crash in native code is only an error.

The child gets its arguments as one line of JSON on stdin and answers with lines of JSON on what
was its stdout; whatever native code prints goes to stderr. It ends when its stdin closes, so it
never outlives its parent, however that one ended.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator
from typing import IO, Any

from haruon_tui.errors import HaruonError, StageError, Stopped

Arguments = dict[str, Any]
Emit = Callable[[dict[str, Any]], None]

_POLL_SECONDS = 0.1
_TAIL_LINES = 8
_ENVIRONMENT = {
    "CUDA_VISIBLE_DEVICES": "",  # a GPU may be training; what is measured here is the CPU
    "GGML_NO_BACKTRACE": "1",  # else an assertion of ggml attaches gdb for seconds
}


class ProcessDied(StageError):
    """The process ended without an answer: native code crashed, or something killed it."""


def call(
    target: str,
    arguments: Arguments,
    *,
    on_event: Emit = lambda event: None,
    stop_requested: Callable[[], bool] = lambda: False,
) -> dict[str, Any]:
    """Run `target` ("package.module:function") as function(arguments, emit); return its answer.

    Everything passed is JSON. What the function emits goes to `on_event`. When `stop_requested`
    says so the process is killed, whatever it is doing, and Stopped is raised. Raises the
    function's own error as StageError, and ProcessDied when there is no answer.
    """
    with tempfile.TemporaryFile() as complaints:
        process = subprocess.Popen(
            [sys.executable, "-m", __name__, target],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=complaints,
            env=os.environ | _ENVIRONMENT,
        )
        assert process.stdin
        assert process.stdout
        try:
            with contextlib.suppress(BrokenPipeError):  # it died at once; the end says why
                process.stdin.write(json.dumps(arguments).encode() + b"\n")
                process.stdin.flush()
            for message in _messages(process.stdout, stop_requested):
                if "event" in message:
                    on_event(message["event"])
                elif "error" in message:
                    raise StageError(**message["error"])
                else:
                    answer: dict[str, Any] = message["answer"]
                    return answer
            if stop_requested():
                raise Stopped
            raise _died(process.wait(), complaints)
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()


def _messages(stream: IO[bytes], stop_requested: Callable[[], bool]) -> Iterator[dict[str, Any]]:
    """The JSON lines of the child until it ends. Raises Stopped when a stop is asked for."""
    pending = b""
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        while True:
            if stop_requested():
                raise Stopped
            if not selector.select(_POLL_SECONDS):
                continue
            block = os.read(stream.fileno(), 1 << 16)
            if not block:
                return
            *lines, pending = (pending + block).split(b"\n")
            for line in lines:
                yield json.loads(line)


def _died(code: int, complaints: IO[bytes]) -> ProcessDied:
    complaints.seek(0)
    text = complaints.read().decode("utf-8", errors="replace")
    last = [line.strip() for line in text.splitlines() if line.strip()][-_TAIL_LINES:]
    how = f"exit code {code}"
    if code < 0:
        how = signal.Signals(-code).name if -code in list(signal.Signals) else f"signal {-code}"
    return ProcessDied(
        f"the process ended with {how}" + (": " + " | ".join(last) if last else ""),
        do="look for the kernel's out-of-memory killer (dmesg), and free some memory"
        if -code == signal.SIGKILL
        else None,
    )


def _serve(target: str) -> None:
    """The child's side. Leaves by os._exit: native destructors have nothing left to say."""
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    for number in (signal.SIGINT, signal.SIGTERM):  # the parent decides when to end this
        signal.signal(number, signal.SIG_IGN)
    arguments = json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()

    def send(kind: str, content: dict[str, Any]) -> None:
        channel.write(json.dumps({kind: content}) + "\n")
        channel.flush()

    try:
        module, _, function = target.partition(":")
        answer = getattr(importlib.import_module(module), function)(
            arguments, lambda event: send("event", event)
        )
        send("answer", answer)
    except HaruonError as error:
        send("error", error.as_dict())
    except Exception as error:  # noqa: BLE001 - the parent raises it again
        traceback.print_exc()
        send("error", {"what": f"{type(error).__name__}: {error}"})
    os._exit(0)


def _end_with_parent() -> None:
    while os.read(0, 1 << 10):
        pass
    os._exit(1)


if __name__ == "__main__":
    _serve(sys.argv[1])
