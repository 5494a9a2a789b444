"""A server with OpenAI's chat completions that writes good examples, and fails on demand.

    python tests/dataset/generation_server.py --port 8072 --faults 429,500,cut --share 0.4

A *fault* is what happens instead of, or to, one answer:

    429 503     a rate limit with Retry-After in seconds; an overload with an HTTP date
    500         an internal error
    timeout     no answer until the client goes
    cut         half of the announced body, then the connection closes
    html        200 with a page that is no JSON
    invalid     a completion whose text is no JSON
    schema      a completion whose JSON is another object
    label       a completion with a clinical word, which a repair takes out
    stubborn    the same, which no repair takes out
    echo        500 with the request's Authorization in its words
    told        a good completion that repeats the key in a sentence
    401 402 403 404

With "late " before it nothing comes before `release` is set. "good" is no fault.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import re
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from haruon_tui.dataset import composer
from haruon_tui.dataset.persona import TRAITS
from haruon_tui.dataset.report import parse

Choose = Callable[[int], str]


class GenerationServer(ThreadingHTTPServer):
    """Counts what it was asked. `forms` are the response formats that it takes."""

    daemon_threads = True

    def __init__(
        self,
        choose: Choose = lambda number: "good",
        *,
        port: int = 0,
        forms: tuple[str, ...] = ("json_schema", "json_object"),
        refusal: int = 400,
        delay: float = 0.0,
        retry_after: str = "0.05",
        usage: bool = True,
    ) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.choose, self.forms, self.refusal = choose, forms, refusal
        self.delay, self.retry_after, self.usage = delay, retry_after, usage
        self.release = threading.Event()
        self.lock = threading.Lock()
        self.requests = 0
        self.arrivals: list[float] = []
        self.faults: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        """By the digest of its messages, how often a request was answered in full."""
        self.in_flight = self.most_in_flight = 0
        self.keys: set[str] = set()
        self.bodies: list[dict[str, Any]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def __enter__(self) -> GenerationServer:
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that was killed is no error of the server."""


class _Handler(BaseHTTPRequestHandler):
    server: GenerationServer
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None: ...

    def do_POST(self) -> None:
        server = self.server
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        form = (body.get("response_format") or {}).get("type", "text")
        with server.lock:
            server.keys.add(self.headers.get("Authorization", ""))
            server.bodies.append(body)
            if form != "text" and form not in server.forms:
                fault = "form"
            else:
                fault = server.choose(server.requests)
                server.requests += 1
                server.arrivals.append(time.monotonic())
            server.faults[fault] += 1
            server.in_flight += 1
            server.most_in_flight = max(server.most_in_flight, server.in_flight)
        try:
            time.sleep(server.delay)
            self._respond(fault, body)
        finally:
            with server.lock:
                server.in_flight -= 1

    def _respond(self, fault: str, body: dict[str, Any]) -> None:
        server = self.server
        if fault.startswith("late "):
            server.release.wait()
            fault = fault.removeprefix("late ")
        if fault == "form":
            self._error(server.refusal, "'response_format' of this type is not supported")
        elif fault == "429":
            self._error(429, "slow down", {"Retry-After": server.retry_after})
        elif fault == "503":
            date = format_datetime(datetime.now(UTC) + timedelta(seconds=1), usegmt=True)
            self._error(503, "overloaded", {"Retry-After": date})
        elif fault == "timeout":
            self.rfile.read(1)  # comes back when the client closes
            self.close_connection = True
        elif fault == "echo":
            self._error(500, f"cannot handle {self.headers.get('Authorization')}")
        elif fault.isdigit():
            self._error(int(fault), "no, says the test")
        elif fault == "html":
            self._send(200, b"<html>gateway</html>", {"Content-Type": "text/html"})
        else:
            whole = json.dumps(self._completion(fault, body), ensure_ascii=False).encode()
            if fault == "cut":
                self._head(200, len(whole), {})
                self.wfile.write(whole[: len(whole) // 2])
                self.wfile.flush()
                self.close_connection = True
                return
            digest = _digest(body["messages"])
            self._send(200, whole, {})
            with server.lock:
                server.answered[digest] += 1

    def _completion(self, fault: str, body: dict[str, Any]) -> dict[str, Any]:
        text = written(body["messages"], fault)
        if fault == "told":
            key = self.headers.get("Authorization", "").removeprefix("Bearer ")
            text = json.dumps({"note": f"your key is {key}"}) + "\n" + text
        completion: dict[str, Any] = {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": body["model"],
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": text},
                    "finish_reason": "stop",
                }
            ],
        }
        if self.server.usage:
            completion["usage"] = {
                "prompt_tokens": 1000,
                "completion_tokens": 500,
                "total_tokens": 1500,
            }
        return completion

    def _error(self, status: int, words: str, headers: dict[str, str] | None = None) -> None:
        value = {"error": {"message": words, "type": "error", "param": None, "code": None}}
        self._send(status, json.dumps(value).encode(), headers or {})

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self._head(status, len(body), headers)
        self.wfile.write(body)
        self.wfile.flush()

    def _head(self, status: int, length: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in ({"Content-Type": "application/json"} | headers).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(length))
        self.end_headers()


def written(messages: list[dict[str, str]], fault: str = "good") -> str:
    """An example with the levels that the last request asks for, as JSON: composed sentences."""
    repairing = messages[-2]["role"] == "assistant" and "문제" in messages[-1]["content"]
    request = messages[-3 if repairing else -1]["content"]
    wanted = {trait.key: _level(request, trait.key) for trait in TRAITS}
    chooser = random.Random(_digest(messages[: -2 if repairing else None]))
    answers = {}
    for trait in TRAITS:
        pool = composer.pool(trait)
        answers[trait.key] = chooser.choice(pool.varied[wanted[trait.key]])
    report = parse(composer.report(answers))
    sections = {part.key: {"level": part.level, "text": part.body} for part in report.traits}
    summary = report.summary
    if fault == "invalid":
        return '물론입니다! {"answers": 여기까지'
    if fault == "schema":
        return json.dumps({"result": "ok"})
    if fault == "stubborn" or (fault == "label" and not repairing):
        summary += " 당신은 우울증 환자입니다."
    said = {key: answer.text for key, answer in answers.items()}
    value = {"answers": said, "report": sections, "summary": summary}
    return json.dumps(value, ensure_ascii=False)


def _level(request: str, key: str) -> str:
    found = re.search(rf"\({key}\): (.+)", request)
    assert found, request
    return found[1].strip()


def _digest(messages: list[dict[str, str]]) -> str:
    return hashlib.sha256(json.dumps(messages, ensure_ascii=False).encode()).hexdigest()


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=8072)
    parser.add_argument("--faults", default="")
    parser.add_argument("--share", type=float, default=0.3, help="of the requests that fail")
    parser.add_argument("--delay", type=float, default=0.3)
    given = parser.parse_args()
    faults = [fault for fault in given.faults.split(",") if fault]
    draw = random.Random(1)

    def choose(number: int) -> str:
        return draw.choice(faults) if faults and draw.random() < given.share else "good"

    server = GenerationServer(choose, port=given.port, delay=given.delay, retry_after="3")
    print(server.url, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    _main()
