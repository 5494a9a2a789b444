"""A server that speaks the Hub's paths, with a repository of a small safetensors model."""

from __future__ import annotations

import hashlib
import json
import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from haruon_tui.dataset import composer
from haruon_tui.jobs.context import JobContext
from haruon_tui.model import tiny

NAME = "owner/small-model"
COMMIT = "1" * 40
_SEND_BYTES = 8192


@dataclass
class Request:
    method: str
    path: str
    range: str | None
    token: str | None


@dataclass
class Hub:
    """What the server has and how it misbehaves. `break_after` bytes of a large file, `breaks`
    times, the connection is cut; `silent` keeps it open and sends nothing more."""

    files: dict[str, bytes]
    url: str = ""
    cdn: str = ""
    commits: dict[str, str] = field(default_factory=lambda: {"main": COMMIT})
    requests: list[Request] = field(default_factory=list)
    sent: dict[str, int] = field(default_factory=dict)
    token: str | None = None
    break_after: int | None = None
    breaks: int = 10**9
    silent: bool = False
    status: int | None = None
    error_code: str = ""
    ignore_ranges: bool = False
    corrupt: str | None = None
    release: threading.Event = field(default_factory=threading.Event)

    def large(self, name: str) -> bool:
        return name.endswith(".safetensors")

    def digest(self, name: str) -> str:
        content = self.files[name]
        if self.large(name):
            return hashlib.sha256(content).hexdigest()
        return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()

    def asked(self, method: str = "GET", part: str = "") -> list[Request]:
        return [r for r in self.requests if r.method == method and part in r.path]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def do_GET(self) -> None:
        hub = self.hub
        path = unquote(urlsplit(self.path).path)
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ") or None
        hub.requests.append(Request("GET", path, self.headers.get("Range"), token))
        if path.startswith("/cdn/"):
            self._send_file(path.removeprefix("/cdn/"))
        elif hub.status:
            self._plain(hub.status, {"X-Error-Code": hub.error_code} if hub.error_code else {})
        elif hub.token and token != hub.token:
            self._plain(401, {})
        elif path.startswith(f"/api/models/{NAME}/revision/"):
            self._info(path.rsplit("/", 1)[1])
        elif path.startswith(f"/{NAME}/resolve/"):
            _, commit, name = path.removeprefix(f"/{NAME}/").split("/", 2)
            if commit not in hub.commits.values() or name not in hub.files:
                self._plain(404, {"X-Error-Code": "EntryNotFound"})
            elif hub.large(name):
                headers = {
                    "Location": f"{hub.cdn}/cdn/{name}",
                    "X-Repo-Commit": commit,
                    "X-Linked-Etag": f'"{hub.digest(name)}"',
                    "X-Linked-Size": str(len(hub.files[name])),
                }
                self._plain(302, headers)
            else:
                self._send_file(name)
        else:
            self._plain(404, {"X-Error-Code": "RepoNotFound"})

    def _info(self, revision: str) -> None:
        hub = self.hub
        commit = hub.commits.get(revision, revision)
        if commit not in hub.commits.values():
            self._plain(404, {"X-Error-Code": "RevisionNotFound"})
            return
        siblings = []
        for name, content in hub.files.items():
            entry: dict[str, object] = {"rfilename": name, "size": len(content)}
            if hub.large(name):
                sha256 = hub.digest(name)
                entry |= {"blobId": "0" * 40}
                entry["lfs"] = {"sha256": sha256, "size": len(content), "pointerSize": 134}
            else:
                entry["blobId"] = hub.digest(name)
            siblings.append(entry)
        body = json.dumps({"id": NAME, "sha": commit, "siblings": siblings}).encode()
        self._plain(200, {"Content-Type": "application/json"}, body)

    def _send_file(self, name: str) -> None:
        hub = self.hub
        content = hub.files[name]
        if hub.corrupt == name:
            content = content[:-1] + bytes([content[-1] ^ 1])
        begin = 0
        asked = self.headers.get("Range")
        headers = {"ETag": f'"{hub.digest(name)}"'}
        if asked and not hub.ignore_ranges:
            begin = int(asked.removeprefix("bytes=").rstrip("-"))
            headers["Content-Range"] = f"bytes {begin}-{len(content) - 1}/{len(content)}"
        body = content[begin:]
        self.send_response(206 if "Content-Range" in headers else 200)
        for key, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(key, value)
        self.end_headers()
        stops_at = hub.break_after if hub.large(name) and hub.breaks > 0 else None
        for at in range(0, len(body), _SEND_BYTES):
            if stops_at is not None and at >= stops_at:
                hub.breaks -= 1
                self.wfile.flush()
                if hub.silent:
                    hub.release.wait(30)
                self.close_connection = True
                return
            block = body[at : at + _SEND_BYTES]
            self.wfile.write(block)
            hub.sent[name] = hub.sent.get(name, 0) + len(block)

    def _plain(self, status: int, headers: dict[str, str], body: bytes = b"") -> None:
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


def safetensors(shapes: dict[str, list[int]], seed: int = 1) -> bytes:
    """A safetensors file of float32 noise."""
    header, at = {}, 0
    for name, shape in shapes.items():
        size = 4
        for extent in shape:
            size *= extent
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + random.Random(seed).randbytes(at)


def model_files() -> dict[str, bytes]:
    """A repository: what a fetch takes, and what it must leave."""
    config = {
        "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "num_hidden_layers": 2,
        "hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2,
        "max_position_embeddings": 512, "vocab_size": 6, "tie_word_embeddings": True,
        "eos_token_id": 1,
    }  # fmt: skip
    added = [{"id": 4, "content": "<|endoftext|>"}, {"id": 5, "content": "<|im_end|>"}]
    tokenizer = {"model": {"vocab": {"가": 0, "나": 1, "a": 2, "b": 3}}, "added_tokens": added}
    settings = {
        "eos_token": "<|im_end|>",
        "pad_token": {"content": "<|endoftext|>"},
        "chat_template": "{% for m in messages %}<|im_start|>{{ m.content }}{% endfor %}",
    }
    shapes = {"model.embed_tokens.weight": [512, 64], "lm_head.weight": [512, 64]}
    return {
        "config.json": json.dumps(config).encode(),
        "generation_config.json": b'{"eos_token_id": [5, 4]}',
        "tokenizer.json": json.dumps(tokenizer, ensure_ascii=False).encode(),
        "tokenizer_config.json": json.dumps(settings).encode(),
        "README.md": b"---\nlanguage: ko\nlicense: apache-2.0\n---\n# Model\nlicense: other\n",
        "model.safetensors": safetensors(shapes),
        "pytorch_model.bin": b"pickle",
        "modeling.py": b"print('no')",
        "onnx/config.json": b"{}",
        ".gitattributes": b"x",
    }


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """The server, running; this process asks it and keeps its cache below tmp_path/hf."""
    served = Hub(model_files())
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": served}))
    server.daemon_threads = True
    port = server.server_address[1]
    served.url, served.cdn = f"http://127.0.0.1:{port}", f"http://localhost:{port}"
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", served.url)
    monkeypatch.setattr(
        "huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE",
        served.url + "/{repo_id}/resolve/{revision}/{filename}",
    )
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hf" / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_ENDPOINT", served.url)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    for variable in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_CACHE"):
        monkeypatch.delenv(variable, raising=False)
    yield served
    served.release.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def job(tmp_path: Path) -> JobContext:
    return JobContext.local(tmp_path / "job")


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Qwen2 that can be loaded and speaks nonsense."""
    recipe = tiny.Recipe(
        vocabulary=512, hidden=64, feed_forward=128, layers=1, heads=2, key_value_heads=1, steps=1,
        batch_tokens=512,
    )  # fmt: skip
    work = tmp_path_factory.mktemp("tiny")
    texts = list(composer.base_corpus(seed=7))[:20]
    tiny.build(recipe, texts, work / "base", JobContext.local(work / "job"))
    return work / "base"


@pytest.fixture
def said() -> Callable[[JobContext], str]:
    """The log lines of a job, joined."""

    def read(job: JobContext) -> str:
        events = map(json.loads, (job.folder / "events.jsonl").read_text().splitlines())
        return "\n".join(event["text"] for event in events if event["kind"] == "log")

    return read
