"""The real app with a probe in its event loop: `timed_app.py WORKSPACE SECONDS OUT.json`."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path

from haruon_tui.app import HaruonApp
from haruon_tui.workspace import Workspace

_INTERVAL = 0.02


class TimedApp(HaruonApp):
    """Sleeps for a fixed time over and over and notes how much too late it wakes."""

    seconds = 0.0
    lateness: list[float]

    def on_ready(self) -> None:
        self.lateness = []
        self.run_worker(self._probe(), group="probe")

    async def _probe(self) -> None:
        await asyncio.sleep(2.0)  # starting up is not what is measured
        end = time.perf_counter() + self.seconds
        while time.perf_counter() < end:
            before = time.perf_counter()
            await asyncio.sleep(_INTERVAL)
            self.lateness.append(time.perf_counter() - before - _INTERVAL)
        self.exit()


if __name__ == "__main__":
    app = TimedApp(Workspace.find(Path(sys.argv[1])))
    app.seconds = float(sys.argv[2])
    app.run()
    Path(sys.argv[3]).write_text(json.dumps(app.lateness))
