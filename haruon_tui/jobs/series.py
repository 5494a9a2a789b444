"""One metric over steps, kept so that any stretch of it can be drawn without reading it all.

Beside the values stand the lowest and the highest of every 32 of them, of every 1,024, and so on.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_GROUP = 32
_SHORT = 2 * _GROUP


@dataclass(frozen=True)
class Stretch:
    """The finite values of a stretch of a series; `first` and `last` in the order of steps."""

    first: float
    last: float
    low: float
    high: float


class Series:
    """Values at ascending steps. NaN and infinities are kept, but no low or high counts them."""

    def __init__(self) -> None:
        self.steps: array[int] = array("q")
        self.values: array[float] = array("d")
        self.gaps: array[int] = array("q")
        """Indexes of the values that are not finite."""
        self.cuts = 0
        """How often values were forgotten."""
        self._lows: list[array[float]] = []
        self._highs: list[array[float]] = []

    def __len__(self) -> int:
        return len(self.values)

    def extend(self, steps: Sequence[int], values: Sequence[float]) -> None:
        """Append values at ascending steps, all beyond the last one."""
        start = len(self.values)
        self.steps.extend(steps)
        self.values.extend(values)
        if not math.isfinite(sum(values)):
            self.gaps.extend(
                start + at for at, value in enumerate(values) if not math.isfinite(value)
            )
        self._build()

    def cut(self, length: int) -> None:
        """Forget all but the first `length` values."""
        if length >= len(self.values):
            return
        self.cuts += 1
        del self.steps[length:]
        del self.values[length:]
        del self.gaps[bisect_left(self.gaps, length) :]
        for level, (lows, highs) in enumerate(zip(self._lows, self._highs, strict=True), start=1):
            del lows[length // _GROUP**level :]
            del highs[length // _GROUP**level :]

    def at(self, step: float) -> int:
        """The index of the first value at `step` or after it."""
        return bisect_left(self.steps, step)

    def gap_between(self, start: int, end: int) -> bool:
        """Whether a value of the indexes from `start` to before `end` is not finite."""
        if not self.gaps:
            return False
        found = bisect_left(self.gaps, start)
        return found < len(self.gaps) and self.gaps[found] < end

    def stretch(self, start: int, end: int) -> Stretch | None:
        """The values of the indexes from `start` to before `end`; None when none is finite."""
        if end - start == 1:
            value = self.values[start]
            return Stretch(value, value, value, value) if math.isfinite(value) else None
        first = self._finite(start, end, 1)
        if first is None:
            return None
        last = self._finite(end - 1, start - 1, -1)
        assert last is not None
        low = self._extreme(start, end, 0, self._lows, lowest=True)
        high = self._extreme(start, end, 0, self._highs, lowest=False)
        return Stretch(first, last, low, high)

    def _finite(self, start: int, end: int, step: int) -> float | None:
        values = self.values
        for at in range(start, end, step):
            if math.isfinite(values[at]):
                return values[at]
        return None

    def _build(self) -> None:
        """Fill in the groups that have become whole."""
        below_low = below_high = self.values
        level = 0
        while len(below_low) >= _GROUP:
            if level == len(self._lows):
                self._lows.append(array("d"))
                self._highs.append(array("d"))
            lows, highs = self._lows[level], self._highs[level]
            for group in range(len(lows), len(below_low) // _GROUP):
                start, end = group * _GROUP, (group + 1) * _GROUP
                if level == 0 and self.gaps and self.gap_between(start, end):
                    finite = [value for value in self.values[start:end] if math.isfinite(value)]
                    lows.append(min(finite, default=math.inf))
                    highs.append(max(finite, default=-math.inf))
                else:
                    lows.append(min(below_low[start:end]))
                    highs.append(max(below_high[start:end]))
            below_low, below_high = lows, highs
            level += 1

    def _extreme(
        self, start: int, end: int, level: int, above: list[array[float]], *, lowest: bool
    ) -> float:
        """The lowest or highest of a level's entries; infinity of the other sign for none."""
        if end - start <= _SHORT or level == len(above):
            return self._scan(start, end, level, above, lowest=lowest)
        first, last = -(-start // _GROUP), min(end // _GROUP, len(above[level]))
        return (min if lowest else max)(
            self._scan(start, first * _GROUP, level, above, lowest=lowest),
            self._extreme(first, last, level + 1, above, lowest=lowest),
            self._scan(last * _GROUP, end, level, above, lowest=lowest),
        )

    def _scan(
        self, start: int, end: int, level: int, above: list[array[float]], *, lowest: bool
    ) -> float:
        part: Iterable[float] = (above[level - 1] if level else self.values)[start:end]
        if level == 0 and self.gap_between(start, end):
            part = (value for value in part if math.isfinite(value))
        return min(part, default=math.inf) if lowest else max(part, default=-math.inf)
