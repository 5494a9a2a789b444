"""What a running stage holds: the means to report, to leave artefacts, and to learn of a stop."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from haruon_tui import artifacts
from haruon_tui.errors import Stopped
from haruon_tui.jobs.events import EventWriter

Level = Literal["info", "warning", "error"]


class JobContext:
    """One attempt at one job. Safe to use from several threads of the child process."""

    def __init__(
        self,
        folder: Path,
        writer: EventWriter,
        *,
        stop: threading.Event | None = None,
        about: dict[str, Any] | None = None,
        devices: tuple[str, ...] = (),
        wait_for_memory: bool = True,
    ) -> None:
        """`folder` is runs/<id>; `about` goes into every manifest (stage, params, inputs);
        `devices` are those of the job's ticket."""
        self.folder = folder
        self.writer = writer
        self.stop = stop or threading.Event()
        self.devices = devices
        self.wait_for_memory = wait_for_memory
        self.on_metric: list[Callable[[int, dict[str, float]], None]] = []
        """Told of every metric, besides the log."""
        self._about = about or {}
        self._manifest_lock = threading.Lock()

    @classmethod
    def local(cls, folder: Path) -> JobContext:
        """A context for calling a stage in this process: from a script, or from a test."""
        folder.mkdir(parents=True, exist_ok=True)
        return cls(folder, EventWriter(folder / "events.jsonl", attempt=1))

    @property
    def id(self) -> str:
        return self.folder.name

    @property
    def attempt(self) -> int:
        return self.writer.attempt

    @property
    def artifacts(self) -> Path:
        return self.folder / "artifacts"

    @property
    def scratch(self) -> Path:
        """A folder for checkpoints and other things that only this job reads."""
        path = self.folder / "scratch"
        path.mkdir(exist_ok=True)
        return path

    @property
    def stop_requested(self) -> bool:
        return self.stop.is_set()

    def raise_if_stopped(self) -> None:
        """Raise Stopped when a stop was asked for. Call it between units of work."""
        if self.stop.is_set():
            raise Stopped

    def progress(self, done: float, total: float, *, phase: str = "", unit: str = "") -> None:
        """How far the job is: `done` of `total` units. A new phase may start again from zero."""
        self.writer.write("progress", done=done, total=total, phase=phase, unit=unit)

    def metric(self, step: int, **values: float) -> None:
        """Values at a step, such as loss or tokens per second. NaN and infinities are kept."""
        self.writer.write("metric", step=step, values=values)
        for tell in self.on_metric:
            tell(step, values)

    def log(self, text: str, level: Level = "info") -> None:
        """One line for people. It is shown as plain text: markup in it does nothing."""
        self.writer.write("log", text=text, level=level)

    def changed(self, step: int, why: str, values: dict[str, tuple[int, int]]) -> None:
        """From `step` on the job works with other settings than it was given: by name, the value
        before and the value now."""
        self.writer.write("changed", step=step, why=why, values=values)

    def piece(self, text: str) -> None:
        """A piece of what a model writes, as it comes. The pieces of an attempt join to the
        text."""
        self.writer.write("piece", text=text)

    def sample(self, step: int, prompt: str, text: str) -> None:
        """What the model in training answers to a prompt at a step."""
        self.writer.write("sample", step=step, prompt=prompt, text=text)

    def checkpoint(self, step: int, path: Path) -> None:
        """A checkpoint is complete at `path` and the job can go on from it."""
        self.writer.write("checkpoint", step=step, path=str(path.relative_to(self.folder)))

    @contextmanager
    def artifact(self, name: str, **about: Any) -> Iterator[Path]:
        """Yield a temporary path to fill with a file or a folder; on success it becomes
        artifacts/<name>, with its digest, size and `about` in artifacts/manifest.json."""
        final = self.artifacts / name
        with artifacts.replacing(final) as temporary:
            yield temporary
            entry = {
                "sha256": artifacts.digest(temporary),
                "bytes": artifacts.size_of(temporary),
                **about,
            }
        with self._manifest_lock:
            manifest = read_manifest(self.artifacts) or {"job": self.id, **self._about}
            manifest.setdefault("artifacts", {})[name] = entry
            artifacts.write_json(self.artifacts / artifacts.MANIFEST, manifest)
        self.writer.write("artifact", name=name, sha256=entry["sha256"], bytes=entry["bytes"])


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """The manifest in an artefact folder, or None where there is none."""
    import json

    try:
        loaded: dict[str, Any] = json.loads((folder / artifacts.MANIFEST).read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError):
        return None
    return loaded
