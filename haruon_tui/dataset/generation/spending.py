"""What requests cost, by the price table and the settings, and whether another one fits."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any


@dataclass(frozen=True)
class Prices:
    """Per million tokens."""

    currency: str
    input: float
    output: float

    def cost(self, input_tokens: float, output_tokens: float) -> float:
        return (input_tokens * self.input + output_tokens * self.output) / 1e6


@dataclass(frozen=True)
class Tokens:
    """Tokens in and out, counted by the server where it does."""

    input: int = 0
    output: int = 0

    @property
    def total(self) -> int:
        return self.input + self.output

    def __add__(self, other: Tokens) -> Tokens:
        return Tokens(self.input + other.input, self.output + other.output)

    def __sub__(self, other: Tokens) -> Tokens:
        return Tokens(self.input - other.input, self.output - other.output)


def prices_of(model: str, input_price: float, output_price: float) -> Prices | None:
    """The prices of a model; a setting of 0 or more goes before the table. None while one of the
    two is not known.

    A dated name (gpt-4o-mini-2024-07-18) has the price of the name without its date.
    """
    table = _table()
    known = table["per_million_tokens"]
    name = model.rsplit("/", 1)[-1]
    head, _, date = name.partition("-20")
    entry = known.get(name) or (known.get(head) if date[:2].isdigit() else None) or {}
    given = input_price if input_price >= 0 else entry.get("input")
    written = output_price if output_price >= 0 else entry.get("output")
    if given is None or written is None:
        return None
    return Prices(str(table["currency"]), float(given), float(written))


@dataclass(frozen=True)
class Budget:
    """Bounds that no sum may pass; 0 is no bound. Money has none while no price is known."""

    money: float
    tokens: int
    prices: Prices | None

    def allows(self, spent: Tokens) -> bool:
        """Whether so much may be spent in all."""
        if self.tokens and spent.total > self.tokens:
            return False
        if self.money and self.prices:
            return self.prices.cost(spent.input, spent.output) <= self.money
        return True

    @property
    def words(self) -> str:
        """The bounds in force."""
        parts = []
        if self.money and self.prices:
            parts.append(money(self.money, self.prices.currency))
        if self.tokens:
            parts.append(f"{self.tokens:,} tokens")
        return " or ".join(parts) or "none"


def money(amount: float, currency: str) -> str:
    """`USD 0.0042`: small sums with more places."""
    places = 2 if amount >= 10 or not amount else 4
    return f"{currency} {amount:,.{places}f}"


@cache
def _table() -> dict[str, Any]:
    text = (files("haruon_tui.data.generation") / "prices.json").read_text("utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded
