"""A model behind an endpoint: llama-cpp-python's own server with a real GGUF, and servers that
fail."""

from __future__ import annotations

import json
import queue
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from haruon_tui.chat.protocol import Done, Event, Failed, Loaded, Token
from haruon_tui.chat.remote import Endpoint, RemoteClient
from haruon_tui.chat.server import Server
from haruon_tui.errors import ConfigurationError, StageError

ASK = [{"role": "user", "content": "안녕?"}]
WAIT = 30.0


def served(path: Path, **options: object) -> Iterator[Server]:
    server = Server(path, threads=1, **options)  # type: ignore[arg-type]
    with closing(server):
        server.start(60)
        yield server


@pytest.fixture(scope="module")
def short(short_answer: Path) -> Iterator[Server]:
    yield from served(short_answer, context=256, api_key="열쇠".encode().hex())


@pytest.fixture(scope="module")
def endless(endless_answer: Path) -> Iterator[Server]:
    yield from served(endless_answer, context=8192)


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> str:
    key = "열쇠".encode().hex()
    monkeypatch.setenv("SERVER_KEY", key)
    return key


class FaultyServer(ThreadingHTTPServer):
    """Fails as `fault` says; counts what it was asked."""

    daemon_threads = True

    def __init__(self, fault: str) -> None:
        super().__init__(("127.0.0.1", 0), _Faulty)
        self.fault = fault
        self.bodies: list[dict[str, object]] = []
        self.released = threading.Event()

    def __enter__(self) -> FaultyServer:
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.released.set()
        self.shutdown()
        self.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class _Faulty(BaseHTTPRequestHandler):
    server: FaultyServer

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self._send(200, {"object": "list", "data": [{"id": "m", "object": "model"}]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.bodies.append(body)
        fault = self.server.fault
        if fault.isdigit():
            said = f"no, {self.headers['Authorization']}"
            self._send(int(fault), {"error": {"message": said}})
        elif fault == "strict" and "top_k" in body:
            self._send(400, {"error": {"message": "unknown argument top_k"}})
        elif fault == "silent":
            self.server.released.wait(WAIT)
        elif fault == "html":
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<html>welcome</html>")
        else:
            self._stream(fault)

    def _stream(self, fault: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self._chunk({"content": "하"})
        if fault == "garbage":
            self._line("data: {no json\n\n")
        if fault == "error":
            self._line('data: {"error": {"message": "out of memory"}}\n\n')
        if fault == "strict":
            self._chunk({}, "stop")
            self._line("data: [DONE]\n\n")
        if fault != "cut":
            self.wfile.write(b"0\r\n\r\n")

    def _chunk(self, delta: dict[str, str], reason: str | None = None) -> None:
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        value = {"id": "1", "object": "chat.completion.chunk", "choices": [choice]}
        self._line(f"data: {json.dumps(value)}\n\n")

    def _line(self, text: str) -> None:
        data = text.encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def _send(self, status: int, value: dict[str, object]) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def text_of(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, Token))


def test_a_real_server_answers_as_the_file_itself_does(short: Server, key: str) -> None:
    with RemoteClient(Endpoint(short.url, key_env="SERVER_KEY")) as chat:
        assert chat.model == "model.F16.gguf"
        events = list(chat.generate(ASK, seed=7))
    assert text_of(events) == "한글"
    done = events[-1]
    assert isinstance(done, Done)
    assert done.reason == "stop"
    assert done.time_to_first_token is not None
    assert done.time_to_first_token > 0


def test_the_limit_ends_an_answer(endless: Server) -> None:
    with RemoteClient(Endpoint(endless.url)) as chat:
        events = list(chat.generate(ASK, max_tokens=6))
    assert (text_of(events), events[-1].reason) == ("ababab", "length")


def test_stop_ends_an_answer_and_the_next_one_comes(endless: Server) -> None:
    heard: queue.SimpleQueue[Event] = queue.SimpleQueue()
    chat = RemoteClient(Endpoint(endless.url), on_event=heard.put)
    with closing(chat):
        assert isinstance(chat.start(), Loaded)
        heard.get(timeout=WAIT)
        first = chat.ask(ASK, max_tokens=8000)
        while not isinstance(heard.get(timeout=WAIT), Token):
            pass
        waiting = chat.ask(ASK, max_tokens=8000)
        chat.stop()
        ended = {}
        while len(ended) < 2:
            if isinstance(event := heard.get(timeout=WAIT), Done):
                ended[event.id] = event.reason
        assert ended == {first: "stopped", waiting: "stopped"}
        assert text_of(list(chat.generate(ASK, max_tokens=4))) == "abab"


def test_a_wrong_key_is_told_in_words_without_the_key(
    short: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERVER_KEY", "wrong-key-of-mine")
    with pytest.raises(StageError, match=r"key \(401\)") as refused:
        RemoteClient(Endpoint(short.url, key_env="SERVER_KEY")).start()
    assert "wrong-key-of-mine" not in str(refused.value)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("404", "no such address or model"),
        ("401", "does not accept the key"),
        ("500", r"refuses \(500\)"),
        ("429", r"refuses \(429\)"),
        ("cut", "broke off"),
        ("ends", "the stream just ended"),
        ("garbage", "broke off"),
        ("error", "out of memory"),
        ("html", "broke off|no chat answer"),
        ("silent", "silent for 0.3 s"),
    ],
)
def test_every_fault_of_a_server_is_one_line_without_the_key(
    fault: str, words: str, key: str
) -> None:
    with (
        FaultyServer(fault) as server,
        closing(
            RemoteClient(Endpoint(server.url, key_env="SERVER_KEY"), silent_seconds=0.3)
        ) as chat,
    ):
        chat.start()
        with pytest.raises(StageError, match=words) as failure:
            list(chat.generate(ASK))
    assert "\n" not in failure.value.what
    assert key not in str(failure.value)
    assert failure.value.where == server.url


def test_a_server_that_knows_only_openais_parameters_is_asked_without_the_others() -> None:
    with FaultyServer("strict") as server, RemoteClient(Endpoint(server.url, "m")) as chat:
        assert text_of(list(chat.generate(ASK, seed=3))) == "하"
    assert "top_k" not in server.bodies[-1]
    assert server.bodies[-1]["seed"] == 3


def test_no_server_is_told_in_words() -> None:
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        with pytest.raises(StageError, match="there is no server"):
            RemoteClient(Endpoint(url)).start()


@pytest.mark.parametrize("url", ["", "localhost:8000", "ftp://a/v1", "http://me:pw@host/v1"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        RemoteClient(Endpoint(url))
    assert "pw" not in str(refused.value)


def test_a_key_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_KEY", raising=False)
    with pytest.raises(ConfigurationError, match="NO_KEY is not set"):
        RemoteClient(Endpoint("https://example.com/v1", key_env="NO_KEY"))


def test_a_closed_client_ends_its_answer_and_takes_no_more(endless: Server) -> None:
    heard: queue.SimpleQueue[Event] = queue.SimpleQueue()
    chat = RemoteClient(Endpoint(endless.url), on_event=heard.put)
    chat.start()
    chat.ask(ASK, max_tokens=8000)
    while not isinstance(event := heard.get(timeout=WAIT), Token):
        assert not isinstance(event, Failed)
    chat.close()
    chat.close()
    assert chat._thread
    assert not chat._thread.is_alive()
    with pytest.raises(StageError, match="closed"):
        chat.ask(ASK)


def test_importing_the_client_loads_neither_openai_nor_a_heavy_library() -> None:
    code = (
        "import sys; import haruon_tui.chat.remote\n"
        "print(sorted({'torch', 'llama_cpp', 'openai', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
