"""A server that speaks what the Hub's library needs to make a repository and to commit to it.

https://huggingface.co/docs/hub/api, and the requests of huggingface_hub's `_commit_api.py`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import socket
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

TOKEN = "hf_a-token-that-must-not-be-written"


@dataclass
class Writable:
    """What the server has. `refuse` answers a path's part with a status; the next `drops` uploads
    are cut in the middle."""

    url: str = ""
    repositories: dict[str, dict[str, bytes]] = field(default_factory=dict)
    private: dict[str, bool] = field(default_factory=dict)
    stored: dict[str, bytes] = field(default_factory=dict)
    commits: list[list[str]] = field(default_factory=list)
    uploads: list[str] = field(default_factory=list)
    refuse: dict[str, int] = field(default_factory=dict)
    drops: int = 0


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Writable

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _answer(self, value: Any, status: int = 200) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        if status == 404:
            self.send_header("X-Error-Code", "RepoNotFound")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _refused(self) -> bool:
        if self.path.startswith("/store/"):
            return False
        status = next((code for part, code in self.hub.refuse.items() if part in self.path), None)
        if status is None and self.headers.get("Authorization") != f"Bearer {TOKEN}":
            status = 401
        if status:
            self._answer({"error": "no"}, status)
        return status is not None

    def do_GET(self) -> None:
        if self._refused():
            return
        name = "/".join(self.path.split("?")[0].split("/")[3:5])
        files = self.hub.repositories.get(name)
        if files is None:
            self._answer({"error": "Repository not found"}, 404)
            return
        commit = hashlib.sha1(repr(sorted(files)).encode()).hexdigest()
        self._answer(
            {
                "id": name,
                "sha": commit,
                "siblings": [_sibling(file, content) for file, content in files.items()],
            }
        )

    def do_POST(self) -> None:
        body = self._body()
        if self._refused():
            return
        hub, parts = self.hub, self.path.split("?")[0].split("/")
        if parts[2:4] == ["repos", "create"]:
            asked = json.loads(body)
            name = f"{asked.get('organization') or 'kim'}/{asked['name']}"
            if name in hub.repositories:
                self._answer({"error": "exists", "url": f"{hub.url}/{name}"}, 409)
                return
            hub.repositories[name] = {}
            hub.private[name] = asked.get("private") or asked.get("visibility") == "private"
            self._answer({"url": f"{hub.url}/{name}"})
        elif parts[-1] == "validate-yaml":
            self._answer({"errors": [], "warnings": []})
        elif parts[-2] == "preupload":
            files = hub.repositories["/".join(parts[3:5])]
            self._answer({"files": [_mode(one, files) for one in json.loads(body)["files"]]})
        elif parts[-2:] == ["objects", "batch"]:
            self._answer({"transfer": "basic", "objects": list(map(self._action, _objects(body)))})
        elif parts[-2] == "commit":
            self._commit("/".join(parts[3:5]), body)

    def do_PUT(self) -> None:
        if self.hub.drops:
            self.hub.drops -= 1
            self.rfile.read(3)
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        oid, content = self.path.split("/")[-1], self._body()
        assert hashlib.sha256(content).hexdigest() == oid
        self.hub.stored[oid] = content
        self.hub.uploads.append(oid)
        self._answer({})

    def _action(self, one: dict[str, Any]) -> dict[str, Any]:
        if one["oid"] in self.hub.stored:
            return one
        return one | {"actions": {"upload": {"href": f"{self.hub.url}/store/{one['oid']}"}}}

    def _commit(self, name: str, body: bytes) -> None:
        changed = []
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "lfsFile":
                self.hub.repositories[name][value["path"]] = self.hub.stored[value["oid"]]
            elif line["key"] == "file":
                self.hub.repositories[name][value["path"]] = base64.b64decode(value["content"])
            else:
                continue
            changed.append(value["path"])
        self.hub.commits.append(sorted(changed))
        oid = f"{len(self.hub.commits):040x}"
        self._answer({"commitUrl": f"{self.hub.url}/{name}/commit/{oid}", "commitOid": oid})

    def log_message(self, format: str, *args: Any) -> None:
        pass


def _objects(body: bytes) -> list[dict[str, Any]]:
    return list(json.loads(body)["objects"])


def _mode(one: dict[str, Any], files: dict[str, bytes]) -> dict[str, Any]:
    large = one["path"].endswith(".gguf")
    content = files.get(one["path"])
    about = {"path": one["path"], "uploadMode": "lfs" if large else "regular"}
    oid = None if content is None else _sibling(one["path"], content)
    at = oid and (oid["lfs"]["sha256"] if large else oid["blobId"])
    return about | {"shouldIgnore": False, "oid": at}


def _sibling(name: str, content: bytes) -> dict[str, Any]:
    blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    about: dict[str, Any] = {"rfilename": name, "size": len(content), "blobId": blob}
    if name.endswith(".gguf"):
        sha256 = hashlib.sha256(content).hexdigest()
        about["lfs"] = {"sha256": sha256, "size": len(content), "pointerSize": 100}
    return about
