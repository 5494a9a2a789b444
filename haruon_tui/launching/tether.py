"""Run a program that knows nothing of its job: `python -m haruon_tui.launching.tether COMMAND…`.

It lives as long as this process's stdin is open: whatever becomes of the job, the program and all
that it started end. A line on stdin asks it to end, by SIGTERM; what has not after ten seconds is
killed. The exit code is the program's.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading

_END_SECONDS = 10.0


def main(command: list[str]) -> int:
    """Start `command` in a process group of its own and wait for it."""
    program = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)

    def listen() -> None:
        while os.read(0, 64):
            end(signal.SIGTERM)
        end(signal.SIGKILL)

    def end(number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(program.pid, number)
        if number == signal.SIGTERM:
            timer = threading.Timer(_END_SECONDS, end, [signal.SIGKILL])
            timer.daemon = True
            timer.start()

    threading.Thread(target=listen, daemon=True).start()
    code = program.wait()
    end(signal.SIGKILL)  # what it has started and left behind
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
