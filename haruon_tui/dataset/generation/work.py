"""The work on a plan: some requests in flight, each noted before and after, until all is there.

One event loop asks; one thread judges, because the checks take the CPU for longer than an answer
may be kept waiting for.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from random import Random
from typing import Literal

from haruon_tui.dataset.generation import plan, prompt
from haruon_tui.dataset.generation.endpoint import (
    Answer,
    Failed,
    Refused,
    Unusable,
    input_estimate,
)
from haruon_tui.dataset.generation.judge import Judge, Verdict
from haruon_tui.dataset.generation.ledger import Key, Ledger
from haruon_tui.dataset.generation.retry import Gate, backoff
from haruon_tui.dataset.generation.servers import Servers
from haruon_tui.dataset.generation.spending import Budget, Tokens
from haruon_tui.errors import HaruonError, StageError

Say = Callable[[str, Literal["info", "warning"]], None]


@dataclass(frozen=True)
class Pacing:
    """How hard the server is asked. Seconds; `retries` are further tries of one request."""

    in_flight: int
    retries: int
    backoff_seconds: float
    give_up_after: int


@dataclass(frozen=True)
class Asked:
    """What is asked for."""

    count: int
    examples: int
    tries: int
    seed: int
    max_tokens: int
    temperature: float
    name: str
    """The first part of every example's id."""


class Work:
    """Carries a plan out. `ended_by` says why it did not come to its end."""

    def __init__(
        self,
        asked: Asked,
        pacing: Pacing,
        budget: Budget,
        servers: Servers,
        ledger: Ledger,
        judge: Judge,
        say: Say,
    ) -> None:
        self.in_flight = 0
        self.left: list[int] = []
        """The slots whose requests the server failed too often, this time."""
        self.ended_by: Literal["", "budget", "stop"] = ""
        self.waits_for = ""
        """Why nothing may be sent now; empty when it may."""
        self._asked, self._pacing, self._budget = asked, pacing, budget
        self._servers, self._ledger, self._judge, self._say = servers, ledger, judge, say
        self._slots = deque(range(asked.count))
        self._error: HaruonError | None = None
        self._halted = asyncio.Event()
        self._gate = Gate(self._halted)
        self._first = asyncio.Lock()
        self._heard = False  # whether the server has answered; until then one request at a time
        self._in_a_row = 0
        self._room = asyncio.Condition()
        self._jitter = Random()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="judge")
        self._said: set[str] = set()

    @property
    def waits(self) -> float:
        """Seconds until the server wants to be asked again."""
        return self._gate.seconds

    @property
    def done(self) -> int:
        """Slots that need nothing more."""
        state, asked = self._ledger.state, self._asked
        return sum(state.next(slot, asked.tries) is None for slot in range(asked.count))

    def stop(self) -> None:
        """Send nothing more; what is in flight is waited for."""
        if not self._halted.is_set():
            self._halt("stop")

    async def run(self) -> None:
        """Go on until every slot is done, a stop, or the budget's end. Raises StageError when the
        server cannot be used."""
        workers = [asyncio.create_task(self._work()) for _ in range(self._pacing.in_flight)]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
            self._thread.shutdown(wait=True)
        if self._error:
            raise self._error

    async def _work(self) -> None:
        while self._slots and not self._halted.is_set():
            slot = self._slots.popleft()
            try:
                while key := self._ledger.state.next(slot, self._asked.tries):
                    if key not in self._ledger.state.answers and not await self._answer(key):
                        break
                    await self._decide(key)
            except HaruonError as error:  # let the others end what they have in flight
                self._error = self._error or error
                self._halted.set()

    async def _decide(self, key: Key) -> None:
        """Judge an answer, and keep or reject it."""
        answer = self._ledger.state.answers[key]
        verdict = await asyncio.get_running_loop().run_in_executor(
            self._thread, self._verdict, key, answer
        )
        faults = [(fault.rule, fault.words) for fault in verdict.faults]
        self._ledger.judged(key, faults, verdict.record)

    def _verdict(self, key: Key, answer: Answer) -> Verdict:
        """In the judge's thread, one after another: of two that are alike, one is kept."""
        verdict = self._judge.judge(
            answer.text,
            plan.levels(key.slot, self._asked.seed),
            id=f"{self._asked.name}-{key.slot + 1:05}",
            cut_off=answer.finish == "length",
        )
        if verdict.record is not None and not verdict.faults:
            self._judge.keep(verdict.record)
        return verdict

    def _messages(self, key: Key) -> list[prompt.Message]:
        asked = prompt.messages(
            key.slot, key.attempt, seed=self._asked.seed, examples=self._asked.examples
        )
        if key.step == "write":
            return asked
        before = Key(key.slot, key.attempt, "write")
        state = self._ledger.state
        words = [words for _, words in state.verdicts[before].faults]
        return prompt.repair(asked, state.answers[before].text, words)

    async def _answer(self, key: Key) -> bool:
        """Ask until there is an answer in the ledger; False when it is given up for now."""
        messages = self._messages(key)
        most = Tokens(input_estimate(messages), self._asked.max_tokens)
        failures = 0
        while True:
            await self._gate.passed()
            async with self._turn():
                if self._gate.seconds and not self._halted.is_set():
                    continue
                # Nothing may come between being admitted and noting that it was sent.
                if not await self._admitted(most):
                    return False
                try:
                    failed = await self._send(key, messages, most)
                finally:
                    async with self._room:
                        self._room.notify_all()
            if failed is None:
                return True
            failures += 1
            if failures > self._pacing.retries:
                self.left.append(key.slot)
                self._say_once(f"example {key.slot + 1} is left for a later run", "warning")
                return False
            await self._wait(failed, failures)

    async def _send(self, key: Key, messages: list[prompt.Message], most: Tokens) -> Failed | None:
        """One request, noted in the ledger; None when it was answered. A refusal changes the
        dialect, costs nothing and is no failure."""
        dialect = self._ledger.state.dialect
        while True:
            arguments = dialect.arguments(
                plan.levels(key.slot, self._asked.seed),
                max_tokens=self._asked.max_tokens,
                temperature=self._asked.temperature,
            )
            number = self._ledger.sent(most)
            self.in_flight += 1
            try:
                answer = await self._servers.ask(messages, arguments)
            except Refused as refusal:
                self._ledger.failed(number, "refused", maybe_paid=False)
                if dialect == self._ledger.state.dialect:
                    self._learn(str(refusal))
                dialect = self._ledger.state.dialect
            except Failed as failed:
                self._ledger.failed(number, failed.kind, maybe_paid=failed.maybe_paid)
                self._note(failed)
                return failed
            except Unusable as unusable:
                self._ledger.failed(number, "refused", maybe_paid=False)
                raise StageError(
                    unusable.words,
                    where=self._servers.url,
                    do=f"{unusable.do}; then run it again",
                ) from None
            else:
                self._ledger.answered(number, key, answer)
                self._heard, self._in_a_row, self.waits_for = True, 0, ""
                if not answer.counted:
                    self._say_once("the server counts no tokens: they are estimated", "warning")
                return None
            finally:
                self.in_flight -= 1

    def _learn(self, words: str) -> None:
        before = self._ledger.state.dialect
        after = before.after_refusal(words)
        if after is None:
            raise StageError(
                f"the server refuses every form of the request: {words}",
                where=self._servers.url,
                do="look at generate.model, generate.max_tokens and generate.temperature",
            )
        self._ledger.learned(after)
        self._say(f"the server refused ({words[:160]}); now: {_spoken(after.form)}", "info")

    def _note(self, failed: Failed) -> None:
        self._in_a_row += 1
        if self._in_a_row >= self._pacing.give_up_after:
            raise StageError(
                f"{self._in_a_row} requests in a row came to nothing, the last one: "
                f"{failed.words}",
                where=self._servers.url,
                do="run it again when the server answers: what is paid is kept",
            )
        self._say_once(f"{failed.kind}: {failed.words}", "warning", about=failed.kind)

    async def _wait(self, failed: Failed, failures: int) -> None:
        own = backoff(failures, self._pacing.backoff_seconds, self._jitter)
        asked = failed.wait
        if asked is not None:
            self._gate.shut(asked + own / 10)  # not all at the very same moment
            self.waits_for = failed.kind
            if asked >= 5:
                self._say(f"{failed.kind}: the server asks to wait {asked:.0f} s", "info")
        elif failed.kind == "rate limit":
            self._gate.shut(own)
            self.waits_for = failed.kind
        else:
            await self._gate.pause(own)

    def _turn(self) -> asyncio.Lock | _Free:
        """Until the server has answered once, one request at a time."""
        return _Free() if self._heard else self._first

    async def _admitted(self, most: Tokens) -> bool:
        """Wait until a request that costs at most so much fits the budget; False when it never
        will, or the work halts."""
        async with self._room:
            while not self._halted.is_set():
                state = self._ledger.state
                if self._budget.allows(state.spent + most):
                    return True
                if not state.open:
                    self._halt("budget")
                    return False
                await self._room.wait()
        return False

    def _halt(self, by: Literal["budget", "stop"]) -> None:
        self.ended_by = by
        self._halted.set()

    def _say_once(self, words: str, level: Literal["info", "warning"], *, about: str = "") -> None:
        """The first of its kind; the ledger counts the others."""
        if (about or words) not in self._said:
            self._said.add(about or words)
            self._say(words, level)


class _Free:
    async def __aenter__(self) -> None: ...

    async def __aexit__(self, *_: object) -> None: ...


def _spoken(form: str) -> str:
    return {
        "json_schema": "a JSON schema",
        "object_schema": "a JSON object with a schema",
        "json_object": "a JSON object",
        "text": "plain text",
    }[form]
