"""What a generation would take, before any of it is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import mean

from haruon_tui.dataset.generation import prompt
from haruon_tui.dataset.generation.endpoint import input_estimate
from haruon_tui.dataset.generation.ledger import State
from haruon_tui.dataset.generation.spending import Prices, Tokens, money
from haruon_tui.dataset.token_lengths import Estimate as Counter

_SAMPLES = 20
_REPAIR_WORDS = 600
"""Tokens of the faults in a repair round, about."""


@dataclass(frozen=True)
class Estimate:
    """`least` when every example is right at once; `most` when every one is repaired in every try
    and is as long as it may be. Tokens are estimated high; the costs are None without a price."""

    wanted: int
    there: int
    to_ask: int
    least: Tokens
    most: Tokens
    prices: Prices | None

    @property
    def costs(self) -> tuple[float, float] | None:
        if self.prices is None:
            return None
        least, most = self.least, self.most
        return (
            self.prices.cost(least.input, least.output),
            self.prices.cost(most.input, most.output),
        )

    def lines(self, model: str, servers: str, budget: str) -> list[tuple[str, str]]:
        """The same in words, by name; `budget` are the words for the bounds in force."""
        here = f", {self.there} are there already" if self.there else ""
        least, most = self.least.total, self.most.total
        if self.prices and self.costs:
            low, high = (money(cost, self.prices.currency) for cost in self.costs)
            cost = f"{low} to {high}"
        else:
            cost = "no price known: tokens are counted (generate.input_price, output_price)"
        return [
            ("examples", f"{self.wanted} wanted{here}, {self.to_ask} to ask for"),
            ("model", f"{model} at {servers}"),
            ("tokens", f"{least:,} if all are right at once, {most:,} at most"),
            ("cost", cost),
            ("budget", f"stops at {budget}" if budget != "none" else "none"),
        ]


def estimate(
    state: State,
    *,
    count: int,
    tries: int,
    examples: int,
    seed: int,
    max_tokens: int,
    prices: Prices | None,
) -> Estimate:
    """What is left of a plan, by the prompts themselves and the length of the golden examples."""
    open_slots = [slot for slot in range(count) if state.next(slot, tries) is not None]
    sample = open_slots[:: max(1, len(open_slots) // _SAMPLES)]
    asked = [input_estimate(prompt.messages(s, 0, seed=seed, examples=examples)) for s in sample]
    given = mean(asked) if asked else 0
    golden = [Counter().count(written) for _, written in prompt.golden_examples()]
    written = mean(golden)
    number = len(open_slots)
    one_try = Tokens(round(2 * given) + max_tokens + _REPAIR_WORDS, 2 * max_tokens)
    return Estimate(
        wanted=count,
        there=sum(slot < count for slot in state.kept),
        to_ask=number,
        least=Tokens(round(number * given), round(number * written)),
        most=Tokens(number * tries * one_try.input, number * tries * one_try.output),
        prices=prices,
    )
