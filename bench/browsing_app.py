"""The real app that opens the browser on a large file and times what it does:
`browsing_app.py WORKSPACE FILE OUT.json`."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from haruon_tui.app import HaruonApp
from haruon_tui.screens.dataset_browser import DatasetBrowser
from haruon_tui.workspace import Workspace

_INTERVAL = 0.02
_SETTLE = 2.0
_ABSENT = "이 문장은 어느 기록에도 없습니다"
_PRESENT = "big-00000007"
_REGEX = "이 문장은 .*없습니다"


class BrowsingApp(HaruonApp):
    """Times each step from the key to what is on the screen."""

    file = Path()
    figures: dict[str, float | list[float]]

    def on_ready(self) -> None:
        super().on_ready()
        self.figures = {}
        self.run_worker(self._steps(), group="steps")
        self.run_worker(self._probe(), group="probe")

    async def _probe(self) -> None:
        await asyncio.sleep(_SETTLE)
        late: list[float] = []
        self.figures["lateness"] = late
        while True:
            before = time.perf_counter()
            await asyncio.sleep(_INTERVAL)
            late.append(time.perf_counter() - before - _INTERVAL)

    async def _until(self, name: str, holds: Callable[[], object]) -> None:
        """Note the seconds until something holds and the screen has been drawn after it."""
        started = time.perf_counter()
        while not holds():  # noqa: ASYNC110 - what is waited for is on the screen
            await asyncio.sleep(0.002)
        drawn = asyncio.Event()
        self.screen.call_after_refresh(drawn.set)
        await drawn.wait()
        self.figures[name] = time.perf_counter() - started

    async def _steps(self) -> None:
        await asyncio.sleep(_SETTLE)  # starting up is not what is measured
        browser = DatasetBrowser(self.session, self.file)
        self.push_screen(browser)
        await self._until(
            "first_page_seconds", lambda: browser.is_mounted and browser.table.row(20)
        )
        browser.table.action_go(-1)
        await self._until(
            "last_record_seconds",
            lambda: (
                browser.status.get("indexed")
                and browser.record is not None
                and browser.record["line"] == browser.status["lines"] - 1
                and browser.table.row(browser.table.total - 1)
            ),
        )
        self.figures["records"] = browser.status["lines"]
        await asyncio.sleep(_SETTLE)  # a person types what to search meanwhile
        for name, text, regex in (
            ("search_absent_seconds", _ABSENT, False),
            ("search_present_seconds", _PRESENT, False),
            ("regex_seconds", _REGEX, True),
        ):
            browser.search(text, regex=regex)
            await self._until(name, lambda text=text: _is_done(browser, text))
            self.figures[name.replace("seconds", "hits")] = browser.status["search"]["count"]
        self.figures["uss_mb"] = psutil.Process().memory_full_info().uss / 1e6
        self.exit()


def _is_done(browser: DatasetBrowser, text: str) -> bool:
    search = browser.status.get("search")
    return bool(search and search["text"] == text and search["done"])


if __name__ == "__main__":
    app = BrowsingApp(Workspace.find(Path(sys.argv[1])))
    app.file = Path(sys.argv[2])
    app.run()
    Path(sys.argv[3]).write_text(json.dumps(app.figures))
