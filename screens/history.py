"""What this process has read of one run's log: the lines, the curves, the pace."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from haruon_tui.jobs.curve import Curves
from haruon_tui.screens.plain_text import one_line

if TYPE_CHECKING:
    from haruon_tui.jobs.events import Event
    from haruon_tui.jobs.store import Run, Status

MAX_LINES = 2000
MAX_SAMPLES = 1800
MAX_SAID = 20_000


@dataclass(frozen=True)
class Line:
    """One line of a log. `number` counts from 1 over the whole run."""

    number: int
    level: str
    text: str


@dataclass(frozen=True)
class Answer:
    """What the model in training answered to a prompt at a step."""

    step: int
    prompt: str
    text: str


@dataclass(frozen=True)
class Change:
    """Settings that a run works with from a step on, other than it was given: by name, the value
    before and the value now."""

    step: int
    why: str
    values: dict[str, tuple[Any, Any]]


class History:
    """Fed with events in the order of the log; events it has seen are passed over."""

    def __init__(self, run: Run, stage: str, parent: str | None = None) -> None:
        self.run = run
        self.stage = stage
        self.parent = parent
        self.status: Status | None = None
        self.lines: deque[Line] = deque(maxlen=MAX_LINES)
        self.curves = Curves()
        self.resources: dict[str, Any] = {}
        """The newest resource sample."""
        self.memory: deque[tuple[float, float | None]] = deque(maxlen=MAX_SAMPLES)
        """Time and resident bytes, oldest first."""
        self.peak_memory = 0.0
        """The most resident bytes that a sample says."""
        self.peak_gpu_memory: float | None = None
        """The most bytes on the GPUs; None without a GPU."""
        self.seconds = 0.0
        """Worked in all attempts, waiting for a device not counted."""
        self.answers: list[Answer] = []
        """By step; those after a checkpoint that training went on from are superseded."""
        self.checkpoints: list[int] = []
        """The steps at which one was saved, over all attempts."""
        self.changes: list[Change] = []
        """In the order of the log."""
        self.said = ""
        """What a model has written in this attempt; at most its end."""
        self.output: list[str] = []
        """The last lines of a crashed child's own output."""
        self._seq = 0
        self._count = 0
        self._running: tuple[int, float] | None = None  # attempt, and the time of its last event
        self._pace: tuple[str, float, float] | None = None  # phase, its first done, its time
        self._progress: tuple[float, float, float] | None = None  # done, total, time

    def feed(self, events: Iterable[Event], status: Status) -> list[Event]:
        """Take in events and the run's state; returns the events that were new."""
        self.status = status
        fresh = [event for event in events if event["seq"] > self._seq]
        for event in fresh:
            self._seq = event["seq"]
            self._take(event)
        self.curves.feed(fresh)
        return fresh

    @property
    def points(self) -> int:
        """How many metric events there were."""
        return self.curves.points

    @property
    def active(self) -> bool:
        return self.status is not None and self.status.state.active

    def remaining(self, now: float) -> float | None:
        """Seconds left in this phase at its pace so far; None while that is not known."""
        if not self.active or self._pace is None or self._progress is None:
            return None
        done, total, at = self._progress
        elapsed, made = at - self._pace[2], done - self._pace[1]
        if made <= 0 or elapsed < 1.0:
            return None
        return max(0.0, (total - done) * elapsed / made - (now - at))

    def _take(self, event: Event) -> None:
        self._pass_time(event)
        match event["kind"]:
            case "log":
                self._say(event["text"], event.get("level", "info"))
            case "piece":
                self.said = (self.said + event["text"])[-MAX_SAID:]
            case "progress":
                self._measure(event)
            case "resource":
                self.resources = event
                used, on_gpus = float(event.get("rss_bytes", 0)), event.get("gpu_bytes")
                self.memory.append((event["t"], used))
                self.peak_memory = max(self.peak_memory, used)
                if on_gpus is not None:
                    self.peak_gpu_memory = max(self.peak_gpu_memory or 0.0, float(on_gpus))
            case "sample":
                self._answer(Answer(event["step"], str(event["prompt"]), str(event["text"])))
            case "checkpoint":
                if event["step"] not in self.checkpoints:
                    self.checkpoints.append(event["step"])
                self._say(f"checkpoint at step {event['step']}")
            case "changed":
                values = {name: (old, new) for name, (old, new) in event["values"].items()}
                self.changes.append(Change(event["step"], str(event["why"]), values))
            case "artifact":
                self._say(f"made {event['name']}, {size(event.get('bytes', 0))}")
            case "running" if event["attempt"] > 1:
                self.said = ""
                self._say(f"attempt {event['attempt']} starts")
            case "running" | "stopping" | "stopped" | "finished":
                self._say(event["kind"])
            case "failed":
                self._say(f"failed: {event['error'].get('what', '')}", "error")

    def _answer(self, answer: Answer) -> None:
        while self.answers and self.answers[-1].step > answer.step:
            self.answers.pop()
        kept = [
            one
            for one in self.answers[-8:]
            if (one.step, one.prompt) != (answer.step, answer.prompt)
        ]
        self.answers[-8:] = [*kept, answer]

    def _pass_time(self, event: Event) -> None:
        """Add the time since the event before, where both are of one attempt that is running."""
        at = event.get("t")
        if at is None:
            return
        if self._running is not None and event["attempt"] == self._running[0]:
            self.seconds += max(0.0, at - self._running[1])
            self._running = (event["attempt"], at)
        elif event["kind"] == "running":
            self._running = (event["attempt"], at)

    def _say(self, text: str, level: str = "info") -> None:
        self._count += 1
        self.lines.append(Line(self._count, level, one_line(text)))

    def _measure(self, event: Event) -> None:
        if (
            self._pace is None
            or self._progress is None
            or event["phase"] != self._pace[0]
            or event["done"] < self._progress[0]
        ):
            self._pace = (event["phase"], event["done"], event["t"])
        self._progress = (event["done"], event["total"], event["t"])


def size(count: float) -> str:
    """A number of bytes in the largest decimal unit that keeps it above one."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def duration(seconds: float) -> str:
    """Seconds as 45 s, 3:05 or 2:03:05."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes, second = divmod(whole, 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"
