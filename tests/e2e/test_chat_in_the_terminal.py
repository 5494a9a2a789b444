"""The chat in the real program, in a pseudo-terminal, with real models: seen by what is shown."""

from __future__ import annotations

import signal
from collections import Counter
from pathlib import Path

import psutil
import pytest

from haruon_tui.chat import sessions
from haruon_tui.workspace import Workspace
from tests.chat.conftest import chain_gguf
from tests.e2e.terminal import Terminal

HOSTILE = "\x1b]0;XY\x07[b<u>*한"
"""Escape sequences, markup and HTML, no byte twice."""


@pytest.fixture(scope="session")
def hostile_answer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return chain_gguf(tmp_path_factory.mktemp("hostile"), HOSTILE, "<|im_end|>")


@pytest.fixture(scope="session")
def endless_answer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Answers abababab..."""
    return chain_gguf(tmp_path_factory.mktemp("endless"), "ab", "a")


def open_chat(tui: Terminal, model: Path | None = None) -> None:
    tui.until("to do")
    tui.press("7")
    tui.until("i or Enter" if model is None else "No GGUF file here yet")
    if model is not None:
        tui.press("\x0f")
        tui.until("Talk to:")
        tui.press(str(model))
        tui.until(model.name)
        tui.press("\r")
        tui.until("loaded in")


def worker_of(tui: Terminal) -> psutil.Process:
    children = psutil.Process(tui.child.pid).children(recursive=True)
    return next(one for one in children if "haruon_tui.chat.worker" in one.cmdline())


def write(tui: Terminal, text: str) -> None:
    """Go to the input and write, in one go; Enter is for the caller."""
    tui.press("i" + text)
    tui.until(text)


def leave(tui: Terminal) -> None:
    """Leave the input."""
    tui.press("\x1b")
    tui.until("i Write")


def under_cursor(tui: Terminal) -> str:
    """The character that the cursor stands on, in the line that is written."""
    row = max(row for row in range(tui.screen.lines) if "안녕" in line_of(tui, row))
    cells = [tui.screen.buffer[row][column] for column in range(2, tui.screen.columns)]
    (usual, _), *_ = Counter(cell.bg for cell in cells).most_common()
    return next((cell.data for cell in cells[:-2] if cell.bg != usual), "")


def line_of(tui: Terminal, row: int) -> str:
    return "".join(tui.screen.buffer[row][column].data for column in range(tui.screen.columns))


def test_korean_is_written_changed_pasted_and_sent(
    workspace: Workspace, hostile_answer: Path
) -> None:
    with Terminal(folder=workspace.folder, columns=100, lines=30) as tui:
        open_chat(tui, hostile_answer)
        write(tui, "안녕하세요")
        tui.press("\x7f")  # one syllable, not one byte and not one cell
        tui.until(lambda text: "안녕하세" in text and "안녕하세요" not in text)
        for syllable in "세하":  # over two wide characters
            tui.press("\x1b[D")
            tui.until(lambda _, under=syllable: under_cursor(tui) == under)
        tui.press("고")
        tui.until("안녕고하세")
        tui.press("\x1b[3~")
        tui.until(lambda text: "안녕고세" in text and under_cursor(tui) == "세")
        tui.press("\x1b[F")
        tui.until(lambda _: under_cursor(tui) == " ")
        tui.press("각😀👍!")
        tui.until(lambda text: "안녕고세각😀👍!" in text)
        tui.press("\x7f\x7f\x7f")
        tui.until(lambda text: "안녕고세각" in text and "😀" not in text)
        tui.press("\r")
        tui.until(lambda text: "[b<u>*한" in text and "ended by itself" in text)
        assert b"\x1b]0;XY" not in tui.raw
        tui.press("\x1b[200~" + "가나다라마 " * 3332 + "끝까지붙임\x1b[201~")
        tui.until("끝까지붙임")
        tui.press("\r")
        tui.until("the context holds 1024")
    (kept,) = sessions.kept(workspace.folder)
    first, pasted = sessions.read(kept.path).turns.values()
    assert (first.prompt, first.answer) == ("안녕고세각", HOSTILE)
    assert len(pasted.prompt) == 3332 * 6 + 5
    assert pasted.prompt.startswith("가나다라마 가나다라마")


def test_a_conversation_survives_a_crash_of_the_model_and_of_the_program(
    workspace: Workspace, endless_answer: Path, tmp_path: Path
) -> None:
    model = tmp_path / "model.F16.gguf"
    model.write_bytes(endless_answer.read_bytes())
    workspace.file.write_text('profile = "tiny"\n[chat]\nmax_tokens = 30000\ncontext = 32000\n')
    with Terminal(folder=workspace.folder, columns=100, lines=30) as tui:
        open_chat(tui, model)
        write(tui, "질문")
        tui.press("\r")
        tui.until("ababab")
        worker_of(tui).send_signal(signal.SIGSEGV)
        tui.until("ended by SIGSEGV")
        tui.press("또")
        tui.until("또")
        tui.press("\r")
        tui.until("writing")
        model.unlink()  # while it is loaded
        tui.press("\x1b")
        tui.until("stopped; prompt")
        worker = worker_of(tui)
        leave(tui)
        tui.press("U")
        tui.until("unloaded, its memory is free")
        worker.wait(timeout=10)
        write(tui, "셋")
        tui.press("\r")
        tui.until("cannot be read")
        model.write_bytes(endless_answer.read_bytes())
        tui.press("봄날의 넷")
        tui.until("봄날의 넷")
        tui.press("\r")
        tui.until("writing")
        tui.until(lambda _: "ababab" in next(iter(kept_answers(workspace)[::-1])))
        worker = worker_of(tui)
        tui.kill()
        worker.wait(timeout=10)
    answers = kept_answers(workspace)
    assert len(answers) == 4
    with Terminal(folder=workspace.folder, columns=100, lines=30) as tui:
        open_chat(tui, model)
        tui.press("o봄날의")
        tui.until(lambda text: "…" in text or "봄날의 넷" in text)
        tui.press("\r")
        tui.until("broken off: the program ended")  # a long answer pushes its question off
    assert kept_answers(workspace) == answers


def kept_answers(workspace: Workspace) -> list[str]:
    (kept,) = sessions.kept(workspace.folder)
    return [turn.answer for turn in sessions.read(kept.path).turns.values()]
