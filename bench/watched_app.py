"""The real app, idle: `watched_app.py WORKSPACE SECONDS OUT.json none|strip|screen`. Writes the
CPU seconds it took, with those of the programs it started, and its private memory."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import psutil

from haruon_tui.app import HaruonApp
from haruon_tui.workspace import Workspace

_SETTLING = 6.0


class WatchedApp(HaruonApp):
    seconds = 0.0
    watch = "none"
    figures: dict[str, float]

    def on_ready(self) -> None:
        if self.watch == "none":
            self.session.load.start = lambda: None  # type: ignore[method-assign]
        self.run_worker(self._measure(), group="measure")

    async def _measure(self) -> None:
        await asyncio.sleep(_SETTLING / 2)
        if self.watch == "screen":
            self.action_load()
        await asyncio.sleep(_SETTLING / 2)
        before = _cpu_seconds()
        await asyncio.sleep(self.seconds)
        self.figures = {
            "cpu_seconds": _cpu_seconds() - before,
            "uss": psutil.Process().memory_full_info().uss,
        }
        self.exit()


def _cpu_seconds() -> float:
    return sum(os.times()[:4])


if __name__ == "__main__":
    app = WatchedApp(Workspace.find(Path(sys.argv[1])))
    app.seconds, app.watch = float(sys.argv[2]), sys.argv[4]
    app.run()
    Path(sys.argv[3]).write_text(json.dumps(app.figures))
