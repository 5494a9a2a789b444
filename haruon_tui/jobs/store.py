"""The runs of a workspace: making them, finding them, and telling their state from their log."""

from __future__ import annotations

import json
import secrets
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from haruon_tui import artifacts
from haruon_tui.errors import ConfigurationError
from haruon_tui.jobs import events, slurm
from haruon_tui.jobs.liveness import Identity, is_alive

PROCESS_FILE = "process.json"
STARTING_SECONDS = 30.0
"""How long a new child may take to say who it is before it counts as crashed."""


class State(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    STOPPING = "stopping"
    FINISHED = "finished"
    FAILED = "failed"
    STOPPED = "stopped"
    CRASHED = "crashed"

    @property
    def active(self) -> bool:
        return self in (State.QUEUED, State.RUNNING, State.STOPPING)


class JobFile(BaseModel):
    """job.json: what was asked for. Written before the child starts; a run that is resumed may
    get other devices, nothing else changes."""

    version: int = 1
    id: str
    stage: str
    created: float
    params: dict[str, Any]
    inputs: dict[str, str]
    fingerprint: str
    devices: tuple[str, ...] = ()
    wait_for_memory: bool = True
    slurm: bool = False
    """Whether its attempts are submitted to Slurm; the devices are then those of the node."""
    by_hand: bool = False
    """Whether it was made for a process that the user starts."""
    parent: str | None = None
    versions: dict[str, str] = Field(default_factory=dict)
    hardware: dict[str, Any] = Field(default_factory=dict)


@dataclass(frozen=True)
class Progress:
    done: float
    total: float
    phase: str
    unit: str
    at: float

    @property
    def fraction(self) -> float:
        return min(1.0, self.done / self.total) if self.total else 0.0


@dataclass(frozen=True)
class Status:
    """A run's state now, from the end of its log and the life of its process."""

    state: State
    attempt: int
    last: events.Event | None
    progress: Progress | None
    identity: Identity | None
    waits_for: str = ""
    """What Slurm says of a job that has not started yet."""

    @property
    def result(self) -> dict[str, Any] | None:
        finished = self.state is State.FINISHED and self.last
        return dict(self.last["result"]) if finished and self.last else None

    @property
    def error(self) -> dict[str, str] | None:
        failed = self.state is State.FAILED and self.last
        return dict(self.last["error"]) if failed and self.last else None


class Run:
    """One folder below runs/."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._job: JobFile | None = None
        self._ended: tuple[tuple[int, int], Status] | None = None

    @property
    def id(self) -> str:
        return self.folder.name

    @property
    def log(self) -> Path:
        return self.folder / "events.jsonl"

    @property
    def output(self) -> Path:
        """What the child wrote to stdout and stderr."""
        return self.folder / "output.log"

    @property
    def artifacts(self) -> Path:
        return self.folder / "artifacts"

    @property
    def job(self) -> JobFile:
        """job.json. Raises ConfigurationError when it is missing or no job file."""
        if self._job is None:
            path = self.folder / "job.json"
            try:
                self._job = JobFile.model_validate_json(path.read_bytes())
            except (OSError, ValueError) as error:
                raise ConfigurationError(
                    "is no readable job file",
                    where=str(path),
                    do=f"haruon jobs prune {self.id} removes this run",
                ) from error
        return self._job

    @property
    def readable(self) -> bool:
        """Whether job.json is there and whole."""
        try:
            return bool(self.job)
        except ConfigurationError:
            return False

    @property
    def stage(self) -> str:
        return self.job.stage

    def place(
        self, devices: tuple[str, ...], wait_for_memory: bool, *, slurm: bool = False
    ) -> None:
        """Write into job.json where the next attempt runs."""
        update = {"devices": devices, "wait_for_memory": wait_for_memory, "slurm": slurm}
        job = self.job.model_copy(update=update)
        if job != self.job:
            _write(self.folder, job)
            self._job = job

    def status(self) -> Status:
        """Derive the state. A run that has ended is not read again until its log changes.

        The end of a Slurm job that could not write its own is noted in the log here."""
        stamp = (_stamp(self.log), _stamp(self.folder / PROCESS_FILE))
        if self._ended and self._ended[0] == stamp:
            return self._ended[1]
        status = self._derive()
        if not status.state.active:
            self._ended = (stamp, status)
        return status

    def _derive(self) -> Status:
        identity = self._identity()
        waits_for = ""
        if identity and identity.slurm_job:
            alive, waits_for = self._ask_slurm(identity)
        else:
            alive = identity is not None and is_alive(identity) is not False
        recent = events.tail(self.log)
        attempt = identity.attempt if identity else 1
        last = next((e for e in reversed(recent) if e["kind"] in events.LIFECYCLE), None)
        if alive and recent and recent[-1]["attempt"] < attempt:
            state = State.QUEUED  # a new attempt, which has not written anything yet
        elif last and last["kind"] in events.ENDS:
            state = State(last["kind"])
        elif alive:
            # with no lifecycle event among the last ones, many metrics follow `running`
            state = State(last["kind"]) if last else (State.RUNNING if recent else State.QUEUED)
        elif identity is None and self.job.by_hand:
            state = State.STOPPED  # it has not been started
        elif identity is None and time.time() - self.job.created < STARTING_SECONDS:
            state = State.QUEUED
        else:
            state = State.CRASHED
        return Status(state, attempt, last, _progress(recent), identity, waits_for)

    def _ask_slurm(self, identity: Identity) -> tuple[bool, str]:
        """Whether the job lives, and what it waits for; it is asked for until its end is there."""
        recent = events.tail(self.log)
        begun = bool(recent) and recent[-1]["attempt"] >= identity.attempt
        if begun and recent[-1]["kind"] in events.ENDS:
            return False, ""
        seen = slurm.note_end(self.log, identity.attempt, identity.slurm_job, identity.start_by)
        return seen.alive is not False, "" if begun or seen.alive is False else seen.words

    def _identity(self) -> Identity | None:
        try:
            return Identity.model_validate_json((self.folder / PROCESS_FILE).read_bytes())
        except (FileNotFoundError, ValueError):
            return None

    def last_lines(self, count: int = 20) -> list[str]:
        """The end of the child's own output, for a run that crashed."""
        try:
            text = self.output.read_bytes()[-16384:].decode("utf-8", errors="replace")
        except FileNotFoundError:
            return []
        return text.splitlines()[-count:]


class Store:
    """All runs of one workspace."""

    def __init__(self, runs: Path) -> None:
        self.folder = runs
        self._known: dict[str, Run] = {}

    def create(self, job: dict[str, Any]) -> Run:
        """Make a run folder with its job.json. `job` lacks only id and created."""
        now = time.time()
        stamp = datetime.fromtimestamp(now, tz=UTC).astimezone().strftime("%Y%m%d-%H%M%S")
        run_id = f"{stamp}-{job['stage']}-{secrets.token_hex(2)}"
        file = JobFile(id=run_id, created=now, **job)
        folder = self.folder / run_id
        making = self.folder / f".{run_id}.part"
        making.mkdir(parents=True)
        try:
            _write(making, file)
            (making / "artifacts").mkdir()
            making.rename(folder)
        except BaseException:
            shutil.rmtree(making, ignore_errors=True)
            raise
        return self.get(run_id)

    def get(self, run_id: str) -> Run:
        """The run with this id, or with the only id that ends or starts so.

        Raises ConfigurationError when there is none or more than one.
        """
        folders = self._folders()
        if run_id in self._known:
            return self._known[run_id]
        near = [
            r for r in folders if run_id and (r.id.endswith(run_id) or r.id.startswith(run_id))
        ]
        if len(near) == 1:
            return near[0]
        raise ConfigurationError(
            f"{run_id!r} could be any of {', '.join(run.id for run in near)}"
            if near
            else f"there is no run {run_id!r}",
            where=str(self.folder),
            do="haruon jobs list",
        )

    def all(self) -> list[Run]:
        """Every run with a readable job.json, oldest first."""
        return [run for run in self._folders() if run.readable]

    def damaged(self) -> list[Run]:
        """The run folders whose job.json is missing or no job file."""
        return [run for run in self._folders() if not run.readable]

    def _folders(self) -> list[Run]:
        try:
            names = sorted(
                path.name
                for path in self.folder.iterdir()
                if path.is_dir() and not path.name.startswith(".")
            )
        except FileNotFoundError:
            return []
        self._known = {name: self._known.get(name) or Run(self.folder / name) for name in names}
        return list(self._known.values())

    def of_stage(self, stage: str) -> Iterator[Run]:
        """The runs of a stage, newest first."""
        return (run for run in reversed(self.all()) if run.stage == stage)

    def finished(self, fingerprint: str) -> Run | None:
        """The newest finished run with this fingerprint whose artefacts are all there."""
        for run in reversed(self.all()):
            if (
                run.job.fingerprint == fingerprint
                and run.status().state is State.FINISHED
                and artifacts_intact(run)
            ):
                return run
        return None

    def remove(self, run: Run) -> int:
        """Delete a run, return the bytes freed. Raises ConfigurationError while it is active."""
        if run.readable and run.status().state.active:
            raise ConfigurationError(
                f"{run.id} is still {run.status().state}", do=f"haruon jobs stop {run.id}"
            )
        size = artifacts.size_of(run.folder)
        doomed = run.folder.with_name(f".{run.id}.pruned")
        run.folder.rename(doomed)
        shutil.rmtree(doomed)
        self._known.pop(run.id, None)
        return size


def _write(folder: Path, job: JobFile) -> None:
    text = json.dumps(job.model_dump(mode="json"), ensure_ascii=False, indent=2)
    artifacts.write_text(folder / "job.json", text + "\n")


def artifacts_intact(run: Run) -> bool:
    """Whether everything in the manifest is there with its size."""
    from haruon_tui.jobs.context import read_manifest

    manifest = read_manifest(run.artifacts) or {}
    for name, entry in manifest.get("artifacts", {}).items():
        path = run.artifacts / name
        if not path.exists() or artifacts.size_of(path) != entry["bytes"]:
            return False
    return True


def _stamp(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def _progress(recent: list[events.Event]) -> Progress | None:
    for event in reversed(recent):
        if event["kind"] == "progress":
            return Progress(
                event["done"], event["total"], event["phase"], event["unit"], event["t"]
            )
    return None
