"""The worker thread pool: one thread per job starts its child and posts what its log says."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from haruon_tui.jobs import launch
from haruon_tui.jobs.events import Event
from haruon_tui.jobs.news import NewsReader
from haruon_tui.jobs.store import Run, Status, Store
from haruon_tui.stage import Params
from haruon_tui.workspace import Workspace

_POLL_SECONDS = 0.15
_MAX_FOLLOWED = 64


@dataclass(frozen=True)
class Update:
    """News of one run: events since the last update, the metrics among them gathered, and its
    state now."""

    run: Run
    events: list[Event]
    status: Status


class Pool:
    """Follows runs and reports every change to `listener`, which is called from pool threads.

    Closing it ends the threads within a moment and touches no job.
    """

    def __init__(
        self, workspace: Workspace, store: Store, listener: Callable[[Update], None]
    ) -> None:
        self._workspace = workspace
        self._store = store
        self._listener = listener
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._followed: set[str] = set()
        self._readers: dict[str, NewsReader] = {}
        self._threads = ThreadPoolExecutor(_MAX_FOLLOWED, thread_name_prefix="job")

    def submit(
        self, stage: str, params: Params, *, reuse: bool = True, fresh: bool = False
    ) -> launch.Submission:
        """As launch.submit, and follow the run. Touches the disk: call it from a thread."""
        submission = launch.submit(
            self._workspace, self._store, stage, params, reuse=reuse, fresh=fresh
        )
        self.follow(submission.run)
        return submission

    def resume(self, run: Run) -> None:
        """As launch.resume, and follow the run."""
        launch.resume(self._workspace, run)
        self.follow(run)

    def follow(self, run: Run, *, anew: bool = False) -> None:
        """Report a run until it ends: the first time and `anew` from its first event on, else
        from where reading has stopped."""
        with self._lock:
            if self._closed.is_set() or run.id in self._followed:
                return
            if anew:
                self._readers.pop(run.id, None)
            self._followed.add(run.id)
            self._threads.submit(self._follow, run)

    def discover(self) -> None:
        """Follow the active runs that others have started on this workspace."""
        for run in self._store.all():
            if run.id not in self._followed and run.status().state.active:
                self.follow(run)

    def close(self) -> None:
        """Stop following. The jobs go on."""
        self._closed.set()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _follow(self, run: Run) -> None:
        reader = self._readers.setdefault(run.id, NewsReader(run.log))
        before: Status | None = None
        try:
            while not self._closed.is_set():
                status = run.status()
                fresh = reader.read()
                if fresh or status != before:
                    self._listener(Update(run, fresh, status))
                    before = status
                if not status.state.active and not fresh:
                    return
                if not fresh:
                    self._closed.wait(_POLL_SECONDS)
        finally:
            with self._lock:
                self._followed.discard(run.id)
