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
from textual.widgets import Input

from haruon_tui.app import HaruonApp
from haruon_tui.screens.dataset_browser import DatasetBrowser
from haruon_tui.screens.prompt import PromptScreen
from haruon_tui.workspace import Workspace

_INTERVAL = 0.02
_SETTLE = 2.0
_ABSENT = "이 문장은 어느 기록에도 없습니다"
_PRESENT = "big-00000007"
_REGEX = "이 문장은 .*없습니다"


class BrowsingApp(HaruonApp):
    """Times each step from the key to what is drawn."""

    file = Path()
    figures: dict[str, float | list[float]]

    def on_ready(self) -> None:
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

    async def _until(self, holds: Callable[[], object]) -> float:
        """The seconds until something holds and the screen has been drawn after it."""
        started = time.perf_counter()
        while not holds():  # noqa: ASYNC110 - what is waited for is on the screen
            await asyncio.sleep(0.002)
        drawn = asyncio.Event()
        self.screen.call_after_refresh(drawn.set)
        await drawn.wait()
        return time.perf_counter() - started

    async def _steps(self) -> None:
        await asyncio.sleep(_SETTLE)  # starting up is not what is measured
        browser = DatasetBrowser(self.session, self.file)
        self.push_screen(browser)
        self.figures["first_page_seconds"] = await self._until(
            lambda: browser.is_mounted and browser.table.row(20)
        )
        self.simulate_key("end")
        self.figures["last_record_seconds"] = await self._until(
            lambda: (
                browser.status.get("indexed")
                and browser.record is not None
                and browser.record["line"] == browser.status["lines"] - 1
                and browser.table.row(browser.table.total - 1)
            ),
        )
        self.figures["records"] = browser.status["lines"]
        # At once, before it is known how the file spells its texts, and when that is known.
        for name, key, text in (
            ("absent_at_once", "slash", _ABSENT),
            ("absent", "slash", _ABSENT),
            ("present", "slash", _PRESENT),
            ("regex", "r", _REGEX),
        ):
            seconds = await self._search(browser, key, text)
            self.figures[f"search_{name}_seconds"] = seconds
            self.figures[f"search_{name}_hits"] = browser.status["search"]["count"]
            await asyncio.sleep(_SETTLE)
        process = psutil.Process()
        children = process.children(recursive=True)
        self.figures["uss_mb"] = process.memory_full_info().uss / 1e6
        self.figures["children_uss_mb"] = sum(c.memory_full_info().uss for c in children) / 1e6
        self.exit()

    async def _search(self, browser: DatasetBrowser, key: str, text: str) -> float:
        """Seconds from the Enter that asks to the end of the search."""
        self.simulate_key(key)
        await self._until(lambda: isinstance(self.screen, PromptScreen))
        await self._until(lambda: self.screen.query_one(Input).has_focus)
        self.screen.query_one(Input).value = text
        before = browser.status.get("search")
        self.simulate_key("enter")
        return await self._until(
            lambda: browser.status["search"] is not before and _is_done(browser, text)
        )


def _is_done(browser: DatasetBrowser, text: str) -> bool:
    search = browser.status.get("search")
    return bool(search and search["text"] == text and search["done"])


if __name__ == "__main__":
    app = BrowsingApp(Workspace.find(Path(sys.argv[1])))
    app.file = Path(sys.argv[2])
    app.run()
    Path(sys.argv[3]).write_text(json.dumps(app.figures))
