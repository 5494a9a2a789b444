"""Several generation servers as if they were one, where their answers overlap."""

from __future__ import annotations

import asyncio

import pytest

from haruon_tui.dataset.generation import endpoint, plan, servers
from haruon_tui.dataset.persona import TRAITS
from tests.dataset.generation_server import GenerationServer

LEVELS = "\n".join(f"- ({trait.key}): {plan.levels(0, 7)[trait.key]}" for trait in TRAITS)
MESSAGES = [{"role": "system", "content": ""}, {"role": "user", "content": LEVELS}]


async def _overlapping(failing: GenerationServer, other: GenerationServer) -> list[str]:
    """Four requests at once, and three more when the late one is over, which it is when the
    failing server rests; returns what was said."""
    said: list[str] = []
    rests = asyncio.Event()

    def say(words: str, level: str) -> None:
        said.append(words)
        rests.set()

    opened = [endpoint.Endpoint(one.url, "m", "none", timeout=20) for one in (failing, other)]
    async with servers.Servers(opened, say) as both:
        sent = [asyncio.create_task(both.ask(MESSAGES, {})) for _ in range(4)]
        await rests.wait()
        failing.release.set()
        await asyncio.gather(*sent)
        before = failing.requests
        for _ in range(3):
            await both.ask(MESSAGES, {})
        assert failing.requests == before
    return said


def test_an_answer_to_what_was_sent_before_a_server_failed_does_not_end_its_rest() -> None:
    faults = {0: "late good", 1: "429"}
    failing = GenerationServer(lambda number: faults.get(number, "good"), retry_after="30")
    with failing, GenerationServer() as other:
        (said,) = asyncio.run(_overlapping(failing, other))
    assert failing.requests == 2
    assert "it is left out for 30 s" in said


def test_a_longer_rest_that_such_an_answer_asks_for_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(servers, "FIRST_REST", 0.0)
    faults = {0: "late 429", 1: "500"}
    failing = GenerationServer(lambda number: faults.get(number, "good"), retry_after="30")
    with failing, GenerationServer() as other:
        asyncio.run(_overlapping(failing, other))
