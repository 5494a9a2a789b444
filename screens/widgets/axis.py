"""The axes of a chart: where a value stands, and which values are written beside it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

LABEL_CELLS = 6
_MOST = 1e300


@dataclass(frozen=True)
class Scale:
    """From `low` to `high`, linear or logarithmic (both ends are then above zero)."""

    low: float
    high: float
    log: bool = False

    def share(self, value: float) -> float | None:
        """How far up `value` stands, from 0 to 1; None where a logarithm has no place for it."""
        if not self.log:
            return (value - self.low) / (self.high - self.low)
        if value <= 0:
            return None
        low, high = math.log(self.low), math.log(self.high)
        return (math.log(value) - low) / (high - low)

    def dots(self, height: int) -> Callable[[float], int | None]:
        """Where a value stands in a column of so many dots, below or above it as well."""
        most = height - 1
        if self.log:
            low = math.log(self.low)
            across = most / (math.log(self.high) - low)

            def place(value: float) -> int | None:
                return round((math.log(value) - low) * across) if value > 0 else None
        else:
            low = self.low
            across = most / (self.high - low)

            def place(value: float) -> int | None:
                return round(min(max((value - low) * across, -9.0 * height), 9.0 * height))

        return place

    def ticks(self, most: int) -> list[float]:
        """Round values within the scale, at most `most` of them where that leaves two."""
        return (log_ticks if self.log else ticks)(self.low, self.high, most=most)


def scale(low: float, high: float, *, log: bool = False) -> Scale:
    """A scale with a little room around `low` and `high`: its ends are never the same, and far
    enough apart to be told apart as floats. Without a value above zero it is linear."""
    low, high = max(low, -_MOST), min(high, _MOST)
    if log and low > 0:
        low = max(low, 1 / _MOST)
        room = math.exp(min(0.03 * (math.log(high) - math.log(low)) + 0.001, 10.0))
        return Scale(low / room, high * room, log=True)
    missing = max(0.01 * max(abs(high), abs(low)), 1e-12) - (high - low)
    low, high = (low - missing / 2, high + missing / 2) if missing > 0 else (low, high)
    room = 0.03 * (high - low)
    return Scale(low - room, high + room)


def ticks(low: float, high: float, *, most: int) -> list[float]:
    """Round values from `low` to `high`, 1, 2 or 5 times a power of ten apart: at most `most` of
    them, but two where there is a choice."""
    power = math.floor(math.log10(high - low)) + 1
    found: list[float] = []
    for step in (m * 10.0**p for p in range(power, power - 4, -1) for m in (5, 2, 1)):
        finer = [n * step for n in range(math.ceil(low / step), math.floor(high / step) + 1)]
        if len(finer) > most and len(found) >= 2:
            break
        found = finer
        if len(found) > most:
            break
    return found


def log_ticks(low: float, high: float, *, most: int) -> list[float]:
    """Powers of ten from `low` to `high`, with their 2 and 5 fold where there is room; where that
    leaves fewer than two, round values."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1, 2, 5), (1, 3), (1,)):
        found = [f * 10.0**p for p in powers for f in factors if low <= f * 10.0**p <= high]
        if 2 <= len(found) <= most:
            return found
    if len(found) > most:
        return found[:: math.ceil(len(found) / max(1, most))]
    return ticks(low, high, most=most)


def labels(values: list[float]) -> list[str]:
    """The values with as many digits as tell them apart. One that is too long for the margin is
    in powers of ten: it would be cut, and read as another number."""
    for digits in range(7):
        shown = [f"{value:.{digits}f}" for value in values]
        exact = all(
            math.isclose(float(text), value, rel_tol=1e-6, abs_tol=1e-12)
            for text, value in zip(shown, values, strict=True)
        )
        if exact and max(map(len, shown), default=0) <= LABEL_CELLS:
            return shown
    return [f"{value:.0e}" for value in values]
