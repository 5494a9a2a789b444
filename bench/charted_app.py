"""The real app on its Train screen, timed:
`charted_app.py WORKSPACE OUT.json open|live POINTS SECONDS`."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path

from haruon_tui.app import HaruonApp
from haruon_tui.screens.training import TrainingScreen
from haruon_tui.screens.widgets.chart import Chart
from haruon_tui.workspace import Workspace

_INTERVAL = 0.02
_SETTLE = 3.0
_REDRAWS = 30


class ChartedApp(HaruonApp):
    """Times from the key to the whole curve, then redraws; or the lateness of the event loop."""

    what = "open"
    points = 0
    seconds = 0.0
    figures: dict[str, float]

    def on_ready(self) -> None:
        self.figures = {}
        self.run_worker(self._measure(), group="measure")

    async def _measure(self) -> None:
        await asyncio.sleep(_SETTLE)  # starting up is not what is measured
        started, worked = time.perf_counter(), time.process_time()
        self.action_go("training")
        await self._first_picture()
        self.figures["open_seconds"] = round(time.perf_counter() - started, 3)
        await self._whole_curve()
        if self.what == "open":
            self.figures["whole_curve_seconds"] = round(time.perf_counter() - started, 3)
            self.figures["whole_curve_cpu_seconds"] = round(time.process_time() - worked, 3)
            await self._redraws()
        else:
            await asyncio.sleep(_SETTLE)
            await self._lateness()
        self.exit()

    async def _first_picture(self) -> None:
        """Until the screen shows the curve as far as it is read."""
        while not (isinstance(self.screen, TrainingScreen) and self.screen.is_mounted):  # noqa: ASYNC110
            await asyncio.sleep(0.002)
        chart = self.screen.query_one("#chart", Chart)
        while not chart.shown_to:  # noqa: ASYNC110 - seen on the screen
            await asyncio.sleep(0.002)
        await self._drawn()

    async def _whole_curve(self) -> None:
        """Until every point is drawn, smoothed, and on the screen."""
        chart = self.screen.query_one("#chart", Chart)
        while not (chart.shown_to >= self.points and chart.is_whole):  # noqa: ASYNC110 - seen on the screen
            await asyncio.sleep(0.002)
        await self._drawn()

    async def _drawn(self) -> None:
        drawn = asyncio.Event()
        self.screen.call_after_refresh(drawn.set)
        await drawn.wait()

    async def _redraws(self) -> None:
        """All charts of the screen, from the call until the terminal has them."""
        taken, worked = [], 0.0
        for _ in range(_REDRAWS):
            started, before = time.perf_counter(), time.process_time()
            for chart in self.screen.query(Chart):
                chart.draw()
            await self._drawn()
            taken.append(1000 * (time.perf_counter() - started))
            worked += 1000 * (time.process_time() - before)
            await asyncio.sleep(0.1)
        taken.sort()
        self.figures["redraw_median_ms"] = round(taken[len(taken) // 2], 1)
        self.figures["redraw_p90_ms"] = round(taken[int(0.9 * len(taken))], 1)
        self.figures["redraw_max_ms"] = round(taken[-1], 1)
        self.figures["redraw_cpu_ms"] = round(worked / _REDRAWS, 1)
        charts = [chart for chart in self.screen.query(Chart) if chart.display]
        self.figures["charts"] = len(charts)

    async def _lateness(self) -> None:
        late = []
        end = time.perf_counter() + self.seconds
        while time.perf_counter() < end:
            before = time.perf_counter()
            await asyncio.sleep(_INTERVAL)
            late.append(1000 * (time.perf_counter() - before - _INTERVAL))
        late.sort()
        self.figures["lateness_samples"] = len(late)
        for name, share in (("p50", 0.5), ("p99", 0.99), ("max", 1.0)):
            at = min(len(late) - 1, int(share * len(late)))
            self.figures[f"lateness_{name}_ms"] = round(late[at], 1)
        history = self.session.active("train")
        self.figures["live_points"] = (history.points if history else 0) - self.points


if __name__ == "__main__":
    app = ChartedApp(Workspace.find(Path(sys.argv[1])))
    app.what, app.points, app.seconds = sys.argv[3], int(sys.argv[4]), float(sys.argv[5])
    app.run()
    Path(sys.argv[2]).write_text(json.dumps(app.figures))
