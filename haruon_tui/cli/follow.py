"""Following a job from the command line until it ends."""

from __future__ import annotations

import sys
import time

from haruon_tui.cli import output
from haruon_tui.errors import Exit
from haruon_tui.jobs import launch
from haruon_tui.jobs.events import Event, EventReader
from haruon_tui.jobs.store import Run, State, Status

_POLL_SECONDS = 0.1
_PLAIN_SECONDS = 5.0


def follow(run: Run, *, quiet: bool, grace_seconds: float | None) -> Status:
    """Show a run's progress on stderr until it ends, and return its last state.

    Ctrl+C asks the job to stop at a checkpoint, a second Ctrl+C leaves it running; without
    `grace_seconds` the first one does.
    """
    show = _Quiet() if quiet else (_Bar(run) if sys.stderr.isatty() else _Lines(run))
    reader = EventReader(run.log, attempt=run.status().attempt)
    waits_for = ""
    try:
        with show:
            while True:
                status = run.status()
                if status.waits_for not in ("", waits_for):
                    waits_for = status.waits_for
                    show.event({"kind": "log", "text": waits_for})
                for event in reader.read():
                    show.event(event)
                if not status.state.active:
                    return status
                time.sleep(_POLL_SECONDS)
    except KeyboardInterrupt:
        if grace_seconds is None:
            output.line(f"{run.id} goes on", stderr=True)
            return run.status()
        output.line(f"stopping {run.id} at a checkpoint; Ctrl+C again leaves it", stderr=True)
        launch.stop(run, grace_seconds)
        return run.status()


def exit_code(status: Status) -> int:
    """The exit code of a command that waited for this run."""
    if status.state is State.FINISHED:
        return Exit.OK
    if status.state is State.STOPPED or status.state.active:
        return Exit.INTERRUPTED
    if status.state is State.FAILED and status.last:
        return int(status.last["exit_code"])
    return Exit.STAGE_FAILED


def say_end(run: Run, status: Status) -> None:
    """One paragraph on stderr about a run that did not finish."""
    if status.error:
        for key, label in (("what", "failed"), ("where", "where"), ("expected", "expected")):
            if key in status.error:
                output.line(f"{label}: {status.error[key]}", stderr=True)
        if "do" in status.error:
            output.line(f"try: {status.error['do']}", stderr=True)
    elif status.state is State.STOPPED:
        output.line(f"stopped; haruon jobs resume {run.id} goes on", stderr=True)
    elif status.state is State.CRASHED:
        output.line(f"{run.id} crashed. Its last lines:", stderr=True)
        for text in run.last_lines(10):
            output.line(f"  {text}", stderr=True)
        output.line(f"try: haruon jobs resume {run.id}", stderr=True)


class _Quiet:
    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...

    def event(self, event: Event) -> None: ...

    _rate = ""

    def _take_rate(self, metric: Event) -> None:
        """Remember the speed of a transfer."""
        if isinstance(rate := metric["values"].get("MB/s"), int | float):
            self._rate = f"  {rate:.1f} MB/s"

    def _rate_of(self, progress: Event) -> str:
        return self._rate if progress["unit"] == "MB" else ""


class _Lines(_Quiet):
    """Plain lines for a pipe: logs as they come, progress every few seconds."""

    def __init__(self, run: Run) -> None:
        self._stage = run.stage
        self._said = 0.0
        self._spoken = _Spoken()

    def __exit__(self, *_: object) -> None:
        self._spoken.end()

    def event(self, event: Event) -> None:
        if event["kind"] == "log":
            output.line(f"{self._stage}: {event['text']}", stderr=True)
        elif event["kind"] == "metric":
            self._take_rate(event)
        elif event["kind"] == "piece":
            self._spoken.write(event["text"])
        elif event["kind"] == "progress" and time.monotonic() - self._said > _PLAIN_SECONDS:
            self._said = time.monotonic()
            output.line(
                f"{self._stage}: {_progress_text(event)}{self._rate_of(event)}", stderr=True
            )


class _Bar(_Quiet):
    """A progress bar with the time left, and the log above it."""

    def __init__(self, run: Run) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            Progress,
            TaskProgressColumn,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        self._stage = run.stage
        self._spoken = _Spoken()
        self._task = self._progress.add_task(run.stage, total=None)

    def __enter__(self) -> None:
        self._progress.start()

    def __exit__(self, *_: object) -> None:
        self._progress.stop()
        self._spoken.end()

    def event(self, event: Event) -> None:
        if event["kind"] == "log":
            self._progress.console.print(output.clean(event["text"]), markup=False)
        elif event["kind"] == "metric":
            self._take_rate(event)
        elif event["kind"] == "piece":
            self._speak(event["text"])
        elif event["kind"] == "progress":
            self._progress.update(
                self._task,
                completed=event["done"],
                total=event["total"],
                description=f"{self._stage} {event['phase']}{self._rate_of(event)}".strip(),
            )

    def _speak(self, text: str) -> None:
        """What a model writes. It comes last, and a bar below it would only be in the way."""
        self._progress.stop()
        self._spoken.write(text)


class _Spoken:
    """Pieces of a model's text on stdout as they come, and a line end after the last."""

    def __init__(self) -> None:
        self._open = False

    def write(self, text: str) -> None:
        output.piece(text)
        self._open = True

    def end(self) -> None:
        if self._open:
            output.piece("\n")
            self._open = False


def _progress_text(event: Event) -> str:
    words = [event["phase"]]
    if event["unit"]:
        words.append(f"{event['done']:g}/{event['total']:g} {event['unit']}")
    if event["total"]:
        words.append(f"{event['done'] / event['total']:.0%}")
    return " ".join(words).strip()
