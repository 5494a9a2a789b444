"""Several generation servers as if they were one, where their answers overlap."""

from __future__ import annotations

import asyncio

from haruon_tui.dataset.generation import endpoint, plan
from haruon_tui.dataset.generation.servers import Servers
from haruon_tui.dataset.persona import TRAITS
from tests.dataset.generation_server import GenerationServer

LEVELS = "\n".join(f"- ({trait.key}): {plan.levels(0, 7)[trait.key]}" for trait in TRAITS)
MESSAGES = [{"role": "system", "content": ""}, {"role": "user", "content": LEVELS}]


def test_an_answer_to_what_was_sent_before_a_server_failed_does_not_end_its_rest() -> None:
    said: list[str] = []
    faults = {0: "late", 1: "429"}
    failing = GenerationServer(lambda number: faults.get(number, "good"), retry_after="30")
    with failing, GenerationServer() as other:

        async def asked() -> None:
            rests = asyncio.Event()

            def say(words: str, level: str) -> None:
                said.append(words)
                rests.set()

            urls = (failing.url, other.url)
            opened = [endpoint.Endpoint(url, "m", "none", timeout=20) for url in urls]
            async with Servers(opened, say) as servers:
                sent = [asyncio.create_task(servers.ask(MESSAGES, {})) for _ in range(3)]
                await rests.wait()
                failing.release.set()
                await asyncio.gather(*sent)
                for _ in range(3):
                    await servers.ask(MESSAGES, {})

        asyncio.run(asked())
    assert failing.requests == 2
    assert len(said) == 1
    assert "it is left out for 30 s" in said[0]
