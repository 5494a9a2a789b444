"""The points of a run's metrics: after a resume, the last attempt of each step counts."""

from __future__ import annotations

from collections.abc import Iterable

from haruon_tui.jobs.events import Event, number


class Curves:
    """Metric series by name, fed with events in the order of the log."""

    def __init__(self) -> None:
        self._points: dict[str, dict[int, tuple[int, float]]] = {}

    def feed(self, events: Iterable[Event]) -> bool:
        """Take in the metric events among `events`; True when there were any."""
        changed = False
        for event in events:
            if event["kind"] != "metric":
                continue
            changed = True
            for name, value in event["values"].items():
                series = self._points.setdefault(name, {})
                held = series.get(event["step"])
                if held is None or event["attempt"] >= held[0]:
                    series[event["step"]] = (event["attempt"], number(value))
        return changed

    @property
    def names(self) -> list[str]:
        return list(self._points)

    def series(self, name: str) -> tuple[list[int], list[float]]:
        """The steps in ascending order and the value at each. NaN and infinities are included."""
        points = sorted(self._points.get(name, {}).items())
        return [step for step, _ in points], [value for _, (_, value) in points]

    def last(self, name: str) -> float | None:
        """The value at the highest step."""
        points = self._points.get(name)
        return points[max(points)][1] if points else None
