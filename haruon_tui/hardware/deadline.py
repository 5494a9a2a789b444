"""Questions that are asked all at once and given up at a deadline."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

T = TypeVar("T")


class Once(Generic[T]):
    """An answer that several need: had by the first who asks, waited for by the others."""

    def __init__(self, read: Callable[[], T]) -> None:
        self._read = read
        self._lock = threading.Lock()
        self._there = threading.Event()
        self._found: tuple[T] | None = None

    def __call__(self) -> T:
        """Raises what the reading raises, for everyone who asks."""
        with self._lock:
            if self._found is None:
                self._found = (self._read(),)
                self._there.set()
            return self._found[0]

    def within(self, seconds: float) -> T | None:
        """The answer if somebody has it within `seconds`; None else. Asks nothing itself."""
        self._there.wait(seconds)
        return self._found[0] if self._found else None


def ask_all(questions: Mapping[str, Callable[[], T]], seconds: float) -> dict[str, T]:
    """The answers that were there after `seconds`, by name. A question must not raise.

    Daemon threads, not a pool: a pool's threads are waited for when the program ends.
    """
    deadline = time.monotonic() + seconds
    answers: dict[str, T] = {}

    def ask(name: str, question: Callable[[], T]) -> None:
        answers[name] = question()

    threads = [
        threading.Thread(target=ask, args=item, name=f"ask {item[0]}", daemon=True)
        for item in questions.items()
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return dict(answers)
