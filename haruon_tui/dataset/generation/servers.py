"""Several servers of one model as if they were one: the least busy is asked, a dead one rests."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any, Literal

from haruon_tui.dataset.generation.endpoint import Answer, Endpoint, Failed, Unusable

FIRST_REST = 5.0
"""Seconds that a server is left out after a failure; they double with each that follows."""
LONGEST_REST = 60.0

Say = Callable[[str, Literal["info", "warning"]], None]


class _Server:
    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.in_flight = 0
        self.rests = 0
        """How often it was left out. An answer to what was sent before the last time ends none."""
        self.failures = 0
        """In a row."""
        self.wakes = 0.0

    def failed(self, asked: float | None) -> float:
        """Leave it out for a while, or as long as it asks for; returns the seconds."""
        self.failures += 1
        own = min(LONGEST_REST, FIRST_REST * 2.0 ** min(self.failures - 1, 10))
        seconds = own if asked is None else asked
        self.rest(seconds)
        return seconds

    def rest(self, seconds: float) -> None:
        self.rests += 1
        self.wakes = max(self.wakes, time.monotonic() + seconds)

    def answered(self) -> bool:
        """It is there; returns whether it had failed before."""
        had_failed = self.failures > 0
        self.failures, self.wakes = 0, 0.0
        return had_failed


class Servers:
    """Asks as an Endpoint does. With one server nothing rests: its pace is the caller's.

    A request that cost nothing where it failed goes to another server at once; one that may be
    paid for is the caller's to send again. A server that can never answer is left out for good.
    Use it as an async context manager.
    """

    def __init__(self, endpoints: Sequence[Endpoint], say: Say) -> None:
        """At least one endpoint."""
        self._servers = [_Server(endpoint) for endpoint in endpoints]
        self._say = say
        self._open = AsyncExitStack()
        self.url = endpoints[0].url
        """The server that failed last."""

    async def __aenter__(self) -> Servers:
        for server in self._servers:
            await self._open.enter_async_context(server.endpoint)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    async def ask(
        self, messages: Sequence[Mapping[str, str]], arguments: Mapping[str, Any]
    ) -> Answer:
        """One request. Raises Failed or Refused; Unusable when no server is left."""
        while True:
            server = self._least_busy()
            rests = server.rests
            server.in_flight += 1
            try:
                answer = await server.endpoint.ask(messages, arguments)
            except Failed as failed:
                self.url = server.endpoint.url
                self._let_rest(server, failed, anew=server.rests == rests)
                if failed.maybe_paid or not self._others_awake(server):
                    raise
            except Unusable as unusable:
                self.url = server.endpoint.url
                self._leave_out(server, unusable)
            else:
                if server.rests == rests and server.answered():
                    self._say(f"{server.endpoint.url} answers again", "info")
                return answer
            finally:
                server.in_flight -= 1

    def _least_busy(self) -> _Server:
        """Of those awake; where none is, the one that wakes first."""
        now = time.monotonic()
        return min(self._servers, key=lambda one: (max(one.wakes, now), one.in_flight))

    def _others_awake(self, server: _Server) -> bool:
        now = time.monotonic()
        return any(one.wakes <= now for one in self._servers if one is not server)

    def _let_rest(self, server: _Server, failed: Failed, *, anew: bool) -> None:
        """`anew` when it was asked after it had last been left out, if it ever was."""
        if len(self._servers) == 1:
            return
        if anew:
            seconds = server.failed(failed.wait)
            if server.failures == 1:
                left_out = f"it is left out for {seconds:.0f} s"
                self._say(f"{server.endpoint.url}: {failed.words}; {left_out}", "warning")
        elif failed.wait is not None:
            server.rest(failed.wait)

    def _leave_out(self, server: _Server, unusable: Unusable) -> None:
        """For good. Raises what it got when this was the last one."""
        if server in self._servers:
            if len(self._servers) == 1:
                raise unusable
            self._servers.remove(server)
            words = f"{server.endpoint.url}: {unusable.words}; it is left out; {unusable.do}"
            self._say(words, "warning")
