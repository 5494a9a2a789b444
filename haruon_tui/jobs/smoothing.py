"""The exponential moving average of a series."""

from __future__ import annotations

import math

from haruon_tui.jobs.series import Series

_AT_ONCE = 40_000
_NONE_LEFT = 1e-17
"""A rest of the start that changes no average: 1 - rest is 1."""


class Smoothed:
    """Follows a series. Corrected for its start, as Adam's moments are (Kingma and Ba 2015,
    arXiv:1412.6980): the first value is the first of the series, not a share of it. Values that
    are not finite are gaps in it and change nothing."""

    def __init__(self, source: Series, weight: float) -> None:
        """`weight`, below 1, is that of the past."""
        self.source = source
        self.weight = weight
        self.series = Series()
        self._cuts = source.cuts
        self._average, self._rest = 0.0, 1.0

    def follow(self) -> bool:
        """Take in what the source has more, tens of thousands of values at once; True when that
        was all."""
        if self.source.cuts != self._cuts:
            self._begin()
        start = len(self.series)
        average, rest, weight = self._average, self._rest, self.weight
        found = []
        taken = self.source.values[start : start + _AT_ONCE]
        if rest < _NONE_LEFT and math.isfinite(sum(taken)):  # a shorter way to the same
            share = 1.0 - weight
            for value in taken:
                average = weight * average + share * value
                found.append(average)
            taken = taken[:0]
        for value in taken:
            if math.isfinite(value):
                average = weight * average + (1.0 - weight) * value
                rest *= weight
                found.append(average / (1.0 - rest))
            else:
                found.append(math.nan)
        self._average, self._rest = average, rest
        self.series.extend(self.source.steps[start : start + len(found)], found)
        return len(self.series) == len(self.source)

    def _begin(self) -> None:
        self._cuts = self.source.cuts
        self._average, self._rest = 0.0, 1.0
        self.series.cut(0)
