"""Whatever happens in a process of its own reaches the caller as an answer or an error."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import psutil
import pytest

from haruon_tui.errors import StageError, Stopped
from haruon_tui.gguf import isolated

FUNCTIONS = """
import ctypes, os, signal, sys
from haruon_tui.errors import StageError

def add(arguments, emit):
    emit({"heard": arguments["a"]})
    return {"sum": arguments["a"] + arguments["b"]}

def chatty(arguments, emit):
    print("from Python")
    ctypes.CDLL(None).puts(b"from C")
    ctypes.CDLL(None).fflush(None)
    os.write(1, b"straight to the descriptor")
    return {"said": "한국어"}

def refuse(arguments, emit):
    raise StageError("no", where="here", expected="yes", do="ask again")

def stumble(arguments, emit):
    raise ValueError("a stone")

def crash(arguments, emit):
    emit({"at work": True})
    print("about to fall", file=sys.stderr, flush=True)
    ctypes.string_at(0)

def sit(arguments, emit):
    emit({"pid": os.getpid()})
    ctypes.CDLL(None).sleep(600)
"""


@pytest.fixture
def functions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "isolated_functions.py").write_text(FUNCTIONS, encoding="utf-8")
    paths = [str(tmp_path), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    return "isolated_functions"


def test_an_answer_and_events_come_back(functions: str) -> None:
    heard: list[dict[str, Any]] = []
    answer = isolated.call(f"{functions}:add", {"a": 2, "b": 3}, on_event=heard.append)
    assert answer == {"sum": 5}
    assert heard == [{"heard": 2}]


def test_printing_does_not_disturb_the_answer(functions: str) -> None:
    assert isolated.call(f"{functions}:chatty", {}) == {"said": "한국어"}


def test_an_error_keeps_its_parts(functions: str) -> None:
    with pytest.raises(StageError) as error:
        isolated.call(f"{functions}:refuse", {})
    assert error.value.as_dict() == {
        "what": "no",
        "where": "here",
        "expected": "yes",
        "do": "ask again",
    }


def test_an_unforeseen_error_is_named(functions: str) -> None:
    with pytest.raises(StageError, match="ValueError: a stone"):
        isolated.call(f"{functions}:stumble", {})


def test_a_native_crash_is_an_error_with_the_last_words(functions: str) -> None:
    heard: list[dict[str, Any]] = []
    with pytest.raises(isolated.ProcessDied) as error:
        isolated.call(f"{functions}:crash", {}, on_event=heard.append)
    assert heard == [{"at work": True}]
    assert "SIGSEGV" in error.value.what
    assert "about to fall" in error.value.what


def test_a_kill_from_outside_hints_at_memory(functions: str) -> None:
    def kill(event: dict[str, Any]) -> None:
        os.kill(event["pid"], signal.SIGKILL)

    with pytest.raises(isolated.ProcessDied) as error:
        isolated.call(f"{functions}:sit", {}, on_event=kill)
    assert "SIGKILL" in error.value.what
    assert "memory" in str(error.value)


def test_a_stop_ends_even_native_work(functions: str) -> None:
    stop = threading.Event()
    pids: list[int] = []

    def on_event(event: dict[str, Any]) -> None:
        pids.append(event["pid"])
        stop.set()

    with pytest.raises(Stopped):
        isolated.call(f"{functions}:sit", {}, on_event=on_event, stop_requested=stop.is_set)
    assert not psutil.pid_exists(pids[0])


def test_a_stop_signal_to_the_whole_group_is_left_to_the_parent(functions: str) -> None:
    """Job control signals the group; only the parent knows whether that means to stop."""
    stop = threading.Event()

    def on_event(event: dict[str, Any]) -> None:
        os.kill(event["pid"], signal.SIGTERM)
        stop.set()

    with pytest.raises(Stopped):
        isolated.call(f"{functions}:sit", {}, on_event=on_event, stop_requested=stop.is_set)


def test_it_does_not_outlive_a_killed_parent(functions: str) -> None:
    script = (
        "from haruon_tui.gguf import isolated\n"
        f"isolated.call('{functions}:sit', {{}}, on_event=lambda e: print(e['pid'], flush=True))"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as parent:
        assert parent.stdout
        child = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
    assert child.wait(timeout=10) is None
    assert not child.is_running()
