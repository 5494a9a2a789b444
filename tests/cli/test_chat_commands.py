"""`haruon chat` and `haruon serve` as their users run them, with real files and a real server."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pexpect
import psutil
import pytest

from haruon_tui.dataset.persona import SYSTEM_PROMPT
from tests.chat.conftest import chain_gguf

WAIT = 60


@pytest.fixture(scope="module")
def short_answer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Answers 한글 and stops."""
    return chain_gguf(tmp_path_factory.mktemp("short"), "한글", "<|im_end|>")


@pytest.fixture(scope="module")
def endless_answer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return chain_gguf(tmp_path_factory.mktemp("endless"), "ab", "a")


def haruon(
    *arguments: object, folder: Path, stdin: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    done = subprocess.run(
        [sys.executable, "-m", "haruon_tui", *map(str, arguments)],
        cwd=folder,
        input=stdin,
        capture_output=True,
        timeout=WAIT,
        check=False,
    )
    assert b"Traceback" not in done.stderr
    return done


def test_one_prompt_as_json_has_the_text_and_every_timing(
    short_answer: Path, tmp_path: Path
) -> None:
    done = haruon(
        "chat", short_answer, "--prompt", "안녕?", "--seed", 3, "--json", folder=tmp_path
    )
    assert done.returncode == 0
    said = json.loads(done.stdout)
    assert (said["text"], said["reason"], said["seed"]) == ("한글", "stop", 3)
    assert said["model"] == short_answer.name
    assert said["generated_tokens"] == 6
    assert said["prompt_tokens"] > len(SYSTEM_PROMPT), "a byte a token, with the system prompt"
    for timing in ("time_to_first_token", "prompt_tokens_per_second", "tokens_per_second"):
        assert said[timing] > 0
    assert said["sampling"]["max_tokens"] > 0


def test_a_pipe_gives_the_answer_alone_on_stdout(short_answer: Path, tmp_path: Path) -> None:
    done = haruon("chat", short_answer, "--system", "", folder=tmp_path, stdin="물음".encode())
    assert done.stdout.decode() == "한글\n"
    assert b"6 tokens" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "stdin", "words"),
    [
        ((), b"\xff\xfe", "stdin: byte 0 is no UTF-8"),
        ((), b" \n", "stdin: the prompt is empty"),
        (("--prompt", ""), b"", "--prompt: the prompt is empty"),
        (("--prompt", "x", "--temperature", "9"), b"", "--temperature: "),
        (("--prompt", "x", "--context", "1"), b"", "--context: "),
    ],
)
def test_a_prompt_or_value_that_cannot_be_is_refused_before_anything_is_loaded(
    tmp_path: Path, arguments: tuple[str, ...], stdin: bytes, words: str
) -> None:
    (tmp_path / "model.gguf").write_bytes(b"GGUF, but no model")
    done = haruon("chat", "model.gguf", *arguments, folder=tmp_path, stdin=stdin)
    assert done.returncode == 2
    assert done.stderr.decode().startswith(f"haruon: {words}")


@pytest.mark.parametrize("command", [("chat", "--prompt", "x"), ("serve", "--port", "0")])
def test_a_file_that_is_no_gguf_is_named_and_refused(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    (tmp_path / "모델.gguf").write_bytes(b"no model at all")
    first, *options = command
    done = haruon(first, "모델.gguf", *options, folder=tmp_path)
    assert done.returncode == 2
    assert "모델.gguf: it is no GGUF file" in done.stderr.decode()
    assert "expected: " in done.stderr.decode()
    (tmp_path / "cut.gguf").write_bytes(b"GGUF and then nothing")
    done = haruon(first, "cut.gguf", *options, folder=tmp_path)
    assert done.returncode == 3
    assert "cut.gguf: " in done.stderr.decode()


def test_ctrl_c_keeps_what_was_written_and_says_that_it_was_interrupted(
    endless_answer: Path, tmp_path: Path
) -> None:
    arguments = ["chat", str(endless_answer), "--prompt", "x", "--context", "8192"]
    child = pexpect.spawn(
        sys.executable,
        ["-m", "haruon_tui", *arguments, "--max-tokens", "30000"],
        cwd=str(tmp_path),
        encoding="utf-8",
        timeout=WAIT,
    )
    child.expect_exact("abababab")
    child.sendintr()
    child.expect(r"\d+ tokens, .*stopped\]")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 130


def _hears_ctrl_c() -> None:
    """Also where the tests run in the background of a script, which ignores it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextmanager
def serving(*arguments: object, folder: Path) -> Iterator[tuple[pexpect.spawn, str]]:
    child = pexpect.spawn(
        sys.executable,
        ["-m", "haruon_tui", "serve", *map(str, arguments)],
        cwd=str(folder),
        encoding="utf-8",
        timeout=WAIT,
        preexec_fn=_hears_ctrl_c,
    )
    try:
        child.expect(r"http://127\.0\.0\.1:\d+/v1")
        yield child, str(child.match.group())
    finally:
        child.close(force=True)


def test_a_served_model_answers_on_loopback_alone_and_ctrl_c_ends_it_and_its_server(
    short_answer: Path, tmp_path: Path
) -> None:
    with serving(short_answer, "--port", 0, "--context", 512, folder=tmp_path) as (child, url):
        (server,) = psutil.Process(child.pid).children()
        bound = [c.laddr.ip for c in server.net_connections() if c.status == psutil.CONN_LISTEN]
        assert bound == ["127.0.0.1"]
        done = haruon("chat", url, "--prompt", "안녕?", "--json", folder=tmp_path)
        said = json.loads(done.stdout)
        assert (said["text"], said["model"]) == ("한글", f"{short_answer.name} at {url}")
        assert done.stderr == b""
        port = re.search(r":(\d+)/", url)
        assert port
        second = haruon("serve", short_answer, "--port", port[1], folder=tmp_path)
        assert second.returncode == 2
        assert f"port {port[1]} of 127.0.0.1 cannot be used" in second.stderr.decode()
        child.sendintr()
        child.expect(pexpect.EOF)
        child.close()
        assert child.exitstatus == 0
        assert not server.is_running()
        with socket.socket() as again:
            assert again.connect_ex(("127.0.0.1", int(port[1]))) != 0


def test_a_served_model_ends_with_kill_9_of_its_parent_and_says_what_it_is_as_json(
    short_answer: Path, tmp_path: Path
) -> None:
    with serving(short_answer, "--port", 0, "--json", folder=tmp_path) as (child, url):
        child.expect_exact("\n")
        line = (url + child.before).strip()
        server = psutil.Process(int(re.search(r'"pid": (\d+)', line)[1]))  # type: ignore[index]
        os.kill(child.pid, signal.SIGKILL)
        server.wait(timeout=WAIT)


def test_a_model_is_not_shown_to_the_network_without_a_key(
    short_answer: Path, tmp_path: Path
) -> None:
    done = haruon("serve", short_answer, "--host", "0.0.0.0", folder=tmp_path)
    assert done.returncode == 2
    assert "--api-key-env" in done.stderr.decode()
    done = haruon("serve", short_answer, "--api-key-env", "NOT_SET_AT_ALL", folder=tmp_path)
    assert done.returncode == 2
    assert "NOT_SET_AT_ALL" in done.stderr.decode()
