"""Watches the load of the machine in a thread of its own; the screens only draw what it posts."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from textual.message import Message

if TYPE_CHECKING:
    from haruon_tui.hardware.monitor import Sample

SECONDS = 2.0
"""Between two samples."""

KEPT = 1800
"""Samples: an hour."""


class LoadSampled(Message, bubble=False):
    """The load was read; it is the newest of the session's samples."""

    def __init__(self, sample: Sample) -> None:
        super().__init__()
        self.sample = sample


class LoadWatch:
    """Posts a sample every two seconds. A daemon thread: a driver that hangs never holds up
    quitting."""

    def __init__(self, post: Callable[[Message], object]) -> None:
        self._post = post
        self._closed = threading.Event()
        self.samples: deque[Sample] = deque(maxlen=KEPT)
        """Oldest first; belongs to the event loop."""
        self.detail = False
        """Whether someone looks at more than the first line shows."""

    def start(self) -> None:
        threading.Thread(target=self._watch, name="load", daemon=True).start()

    def close(self) -> None:
        self._closed.set()

    def take(self, message: LoadSampled) -> None:
        self.samples.append(message.sample)

    def _watch(self) -> None:
        from haruon_tui.hardware.monitor import Monitor

        monitor = Monitor()
        while not self._closed.wait(SECONDS if self.samples else 0.3):
            monitor.detail = self.detail
            try:
                sample = monitor.sample()
            except Exception as error:  # noqa: BLE001 - a display of the load must outlive any driver
                sample = _unknown(error)
            self._post(LoadSampled(sample))


def _unknown(error: Exception) -> Sample:
    import time

    from haruon_tui.hardware.monitor import Sample

    return Sample(time.time(), gpu_problem=f"{type(error).__name__}: {error}")
