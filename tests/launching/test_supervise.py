"""What the job says of its ranks: the error that the others failed because of, and nothing is left
running. The ranks are small programs that write the logs that ranks write."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from haruon_tui.errors import StageError, Stopped
from haruon_tui.jobs.context import JobContext
from haruon_tui.jobs.events import EventReader
from haruon_tui.launching.supervise import is_running, run_ranks

_RANKS = """
import os, sys, time
from pathlib import Path
from haruon_tui.jobs.events import EventWriter
folder = Path(sys.argv[1])
def rank(number, *events):
    writer = EventWriter(folder / "ranks" / f"{number}.jsonl", attempt=1)
    writer.write("running", host="node", pid=os.getpid(), rank=number)
    for kind, fields in events:
        writer.write(kind, **fields)
def failed(what):
    return "failed", {"error": {"what": what, "do": "mend it"}, "exit_code": 3}
"""
LOST = "RuntimeError: [gloo/transport/tcp/pair.cc:537] Connection closed by peer"

Launch = Callable[[str], object]


@pytest.fixture
def job(tmp_path: Path) -> JobContext:
    return JobContext.local(tmp_path / "run")


@pytest.fixture
def launch(job: JobContext) -> Launch:
    """Run this as the launcher of two ranks."""

    def start(program: str) -> object:
        command = [sys.executable, "-P", "-c", _RANKS + program, str(job.folder)]
        return run_ranks(job, command, 2)

    return start


def error_of(launch: Launch, program: str) -> StageError:
    with pytest.raises(StageError) as raised:
        launch(program)
    return raised.value


def test_what_rank_0_reports_is_in_the_runs_log_and_of_others_only_warnings(
    launch: Launch, job: JobContext
) -> None:
    result = launch("""
rank(0, ("metric", {"step": 1, "values": {"loss": 2.0}}), ("log", {"text": "a", "level": "info"}),
     ("finished", {"result": {"steps": 1}}))
rank(1, ("log", {"text": "b", "level": "info"}), ("log", {"text": "c", "level": "warning"}),
     ("finished", {"result": {"steps": 1}}))
""")
    assert result == {"steps": 1}
    events = EventReader(job.writer.path).read()
    assert [e["values"] for e in events if e["kind"] == "metric"] == [{"loss": 2.0}]
    assert [e["text"] for e in events if e["kind"] == "log"] == ["a", "rank 1: c"]


def test_the_error_is_that_of_the_rank_that_failed_by_itself(launch: Launch) -> None:
    error = error_of(
        launch, f'rank(0, failed("{LOST}")); rank(1, failed("no example")); sys.exit(1)'
    )
    assert error.what == "rank 1 of 2 on node: no example"
    assert error.do == "mend it"


def test_a_machine_that_is_gone_is_named_and_not_the_broken_connection(launch: Launch) -> None:
    error = error_of(launch, f'rank(1); rank(0, failed("{LOST}")); sys.exit(1)')
    assert "rank 1 of 2 on node is gone" in error.what
    assert "gloo" not in error.what
    assert "resume" in (error.do or "")


def test_ranks_that_never_start_are_counted_with_what_the_launcher_says(launch: Launch) -> None:
    error = error_of(launch, 'print("RendezvousTimeoutError: nobody came"); sys.exit(1)')
    assert "2 of 2 ranks never started (0, 1)" in error.what
    assert "nobody came" in error.what


def test_a_launcher_that_is_missing_is_named(job: JobContext) -> None:
    with pytest.raises(StageError) as raised:
        run_ranks(job, ["/nowhere/python", "-m", "accelerate"], 2)
    assert "cannot be started" in raised.value.what
    assert raised.value.where == "/nowhere/python"


def test_a_stop_is_told_to_the_ranks(launch: Launch, job: JobContext) -> None:
    job.stop.set()
    with pytest.raises(Stopped):
        launch('assert sys.stdin.readline() == "stop\\n"; rank(0, ("stopped", {})); sys.exit(130)')


def test_a_rank_without_memory_has_all_start_again(launch: Launch) -> None:
    assert (
        launch(
            f'rank(0, failed("{LOST}")); rank(1, ("again", {{}}), failed("memory")); sys.exit(1)'
        )
        is None
    )


def test_what_earlier_attempts_left_in_the_logs_is_not_taken_for_this_one(launch: Launch) -> None:
    first = error_of(launch, 'rank(0); rank(1, failed("first")); sys.exit(1)')
    second = error_of(launch, 'rank(0); rank(1, failed("second")); sys.exit(1)')
    assert (first.what[-5:], second.what[-6:]) == ("first", "second")


def test_ranks_outlive_no_launcher_that_was_killed(launch: Launch, job: JobContext) -> None:
    """A rank of another session, as torch's launcher starts it, ends with its stdin."""
    program = """
import subprocess, signal
listen = ("import os, sys\\nfrom haruon_tui.launching.rank import _listen\\n"
          "import threading\\n_listen(threading.Event())")
child = subprocess.Popen([sys.executable, "-P", "-c", listen], start_new_session=True)
(folder / "child").write_text(str(child.pid))
rank(0); rank(1)
os.kill(os.getpid(), signal.SIGKILL)
"""
    error_of(launch, program)
    pid = int((job.folder / "child").read_text())
    deadline = time.monotonic() + 20
    while is_running(pid):
        assert time.monotonic() < deadline, "the rank is still there"
        time.sleep(0.02)
