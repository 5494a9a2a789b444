"""When to send again: Retry-After, exponential back-off with full jitter, one gate for all.

Full jitter draws the whole wait at random, which spreads clients best (Brooker, "Exponential
Backoff And Jitter", AWS Architecture Blog, 2015).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from random import Random

LONGEST_WAIT = 60.0
"""Seconds that the back-off's own wait has at most; Retry-After may ask for more."""


def retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Seconds that a server asks to wait, from retry-after-ms or Retry-After as seconds or as an
    HTTP date (RFC 9110, 10.2.3); None where it does not say, or not in a way that means
    anything."""
    with suppress(KeyError, ValueError):
        return _sensible(float(headers["retry-after-ms"]) / 1000)
    written = headers.get("retry-after", "").strip()
    if not written:
        return None
    with suppress(ValueError):
        return _sensible(float(written))
    try:
        until = parsedate_to_datetime(written)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    return _sensible(max(0.0, (until - (now or datetime.now(UTC))).total_seconds()))


def _sensible(seconds: float) -> float | None:
    return seconds if 0.0 <= seconds < 7 * 24 * 3600 else None  # also no NaN


def backoff(failures: int, first: float, rng: Random) -> float:
    """Seconds to wait after so many failures (from 1) of one request."""
    return rng.uniform(0.0, min(LONGEST_WAIT, first * 2.0 ** min(failures - 1, 30)))


class Gate:
    """Shut for all requests while the server asks to wait; open at once when the work halts."""

    def __init__(self, halted: asyncio.Event) -> None:
        self._halted = halted
        self._opens = 0.0

    @property
    def seconds(self) -> float:
        """How long it stays shut."""
        return max(0.0, self._opens - time.monotonic())

    def shut(self, seconds: float) -> None:
        """Let nothing pass for so long from now; never shortens a longer wait."""
        self._opens = max(self._opens, time.monotonic() + seconds)

    async def passed(self) -> None:
        """Wait until it is open, or the work halts."""
        while self.seconds and not self._halted.is_set():
            await self.pause(self.seconds)

    async def pause(self, seconds: float) -> None:
        """Wait so long, or until the work halts."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._halted.wait(), seconds)
