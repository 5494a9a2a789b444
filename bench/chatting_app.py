"""The real app in a conversation: `chatting_app.py WORKSPACE OUT.json FIRST TIMED`.

It types both questions, and writes for the second the seconds from Enter to the first bytes sent
to the terminal that show its first token, and the speed; and how late the event loop woke while
the model loaded and answered the first, as looking 50 times a second takes time from the model.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

from haruon_tui.app import HaruonApp
from haruon_tui.chat.client import ChatClient
from haruon_tui.chat.protocol import Done, Token
from haruon_tui.workspace import Workspace

_INTERVAL = 0.02


class ChattingApp(HaruonApp):
    questions: tuple[str, ...] = ()
    found: dict[str, Any]

    def on_ready(self) -> None:
        self.events: list[Any] = []
        self._shown = 0.0
        self._awaited = ""
        handed_on = ChatClient._hand_on

        def hand_on(client: ChatClient, event: Any) -> None:
            self.events.append(event)
            if isinstance(event, Token) and event.text.strip() and not self._awaited:
                self._awaited = event.text.split()[0]
            handed_on(client, event)

        ChatClient._hand_on = hand_on  # type: ignore[method-assign]
        driver = self._driver
        assert driver
        write = driver.write

        def written(data: str) -> None:
            write(data)
            if self._awaited and not self._shown and self._awaited in data:
                self._shown = time.perf_counter()

        driver.write = written  # type: ignore[method-assign]
        self.run_worker(self._talk(), group="talk")

    async def _talk(self) -> None:
        while not self.session.ready:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        self.action_go("chat")
        while "Q4_K_M" not in self._text():  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        await asyncio.sleep(1.0)
        lateness: list[float] = []
        started = 0.0
        for number, question in enumerate(self.questions):
            if number:
                self.simulate_key("ctrl+n")
                await asyncio.sleep(0.5)
            self.simulate_key("escape")
            await asyncio.sleep(0.2)
            self.simulate_key("i")
            await asyncio.sleep(0.3)
            for letter in question:
                self.simulate_key("space" if letter == " " else letter)
            await asyncio.sleep(0.5)
            self.events, self._awaited, self._shown = [], "", 0.0
            started = time.perf_counter()
            self.simulate_key("enter")
            interval = 10 * _INTERVAL if number else _INTERVAL
            while not (self.events and isinstance(self.events[-1], Done)):
                before = time.perf_counter()
                await asyncio.sleep(interval)
                if not number:
                    lateness.append(time.perf_counter() - before - interval)
            await asyncio.sleep(0.5)
        done = self.events[-1]
        self.found = {
            "first": self._shown - started,
            "rate": done.tokens_per_second,
            "lateness": lateness,
            "tokens": done.generated_tokens,
            "reused": done.reused_tokens,
        }
        self.exit()

    def _text(self) -> str:
        return "\n".join(strip.text for strip in self.screen._compositor.render_strips())


if __name__ == "__main__":
    app = ChattingApp(Workspace.find(Path(sys.argv[1])))
    app.questions = tuple(sys.argv[3:])
    app.run()
    Path(sys.argv[2]).write_text(json.dumps(app.found))
