from __future__ import annotations

import json
import queue
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from haruon_tui.dataset import golden
from haruon_tui.dataset.browser.client import ReaderClient


class Reading:
    """A real reader process with a file open, asked in turn."""

    def __init__(self, path: Path) -> None:
        self.events: list[dict[str, Any]] = []
        self.client = ReaderClient(path, self.events.append, lambda then, answer: then(answer))

    def ask(self, do: str, **asked: Any) -> dict[str, Any]:
        """The answer as it is: {"ok"} or {"error"}."""
        box: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self.client.ask(do, box.put, **asked)
        return box.get(timeout=20)

    def get(self, do: str, **asked: Any) -> Any:
        answer = self.ask(do, **asked)
        assert "ok" in answer, answer
        return answer["ok"]

    @property
    def status(self) -> dict[str, Any]:
        return next((e for e in reversed(self.events) if e["event"] == "status"), {})

    def until(self, holds: Callable[[], object], seconds: float = 20) -> None:
        deadline = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < deadline, self.events[-3:]
            time.sleep(0.01)

    def until_indexed(self) -> None:
        self.until(lambda: self.status.get("indexed"))

    def shown(self) -> list[int]:
        return [row["line"] for row in self.get("rows", first=0, count=200)["rows"]]


@pytest.fixture
def open_file(monkeypatch, tmp_path):
    """Open a file in a reader of its own, which is ended after the test."""
    monkeypatch.setenv("HARUON_CACHE_DIR", str(tmp_path / "cache"))
    opened: list[Reading] = []

    def make(path: Path) -> Reading:
        opened.append(Reading(path))
        return opened[-1]

    yield make
    for reading in opened:
        reading.client.close()


@pytest.fixture(scope="session")
def golden_lines() -> list[str]:
    return golden.reports_file().read_text("utf-8").splitlines()


@pytest.fixture
def dataset(tmp_path, golden_lines) -> Path:
    """Twelve golden records; the second holds a diagnosis, the fourth line is no record."""
    lines = golden_lines[:12]
    second = json.loads(lines[1])
    second["messages"][2]["content"] += "\n당신은 우울증으로 진단됩니다."
    lines[1] = json.dumps(second, ensure_ascii=False)
    lines[3] = lines[3][:200]
    path = tmp_path / "자료.jsonl"
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path
