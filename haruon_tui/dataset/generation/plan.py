"""What each example shall be: its levels, its person, its situations, its golden examples.

The levels come from an orthogonal array: over Z7, the columns a + k·b (k = 0..4) hold every pair
of levels of any two traits exactly once in 49 rows (strength 2, see Hedayat, Sloane and Stufken,
"Orthogonal Arrays", 1999), and for a fixed b every level of every trait once in 7 rows. Each block
of 49 is relabelled by seeded permutations, so that blocks differ. Any number of examples is thus
balanced to within one, and a longer plan starts like a shorter one.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from random import Random
from typing import Any

from haruon_tui.dataset.persona import LEVELS, TRAITS

_SIDE = len(LEVELS)
_BLOCK = _SIDE * _SIDE


@dataclass(frozen=True)
class Person:
    """Who answers, and what each answer is about (`situations` by trait key)."""

    age: str
    gender: str
    job: str
    region: str
    mood: str
    speech: str
    situations: dict[str, str]


def levels(number: int, seed: int) -> dict[str, str]:
    """The level of each trait, by key, that example `number` (from 0) shall have."""
    block, row = divmod(number, _BLOCK)
    rng = Random(f"levels/{seed}/{block}")
    outer, inner, slopes = _shuffled(rng), _shuffled(rng), _shuffled(rng)[: len(TRAITS)]
    b, a = outer[row // _SIDE], inner[row % _SIDE]
    return {
        trait.key: LEVELS[_shuffled(rng)[(a + slope * b) % _SIDE]]
        for trait, slope in zip(TRAITS, slopes, strict=True)
    }


def person(number: int, attempt: int, seed: int) -> Person:
    """Who answers in example `number`; another one in each `attempt` (from 0)."""
    voices = _voices()

    def draw(name: str, choices: list[str]) -> str:
        return str(dealt(choices, number, f"{name}/{attempt}/{seed}"))

    return Person(
        age=draw("age", voices["ages"]),
        gender=draw("gender", voices["genders"]),
        job=draw("job", voices["jobs"]),
        region=draw("region", voices["regions"]),
        mood=draw("mood", voices["moods"]),
        speech=draw("speech", voices["speech"]),
        situations={
            trait.key: draw(trait.key, voices["situations"][trait.key]) for trait in TRAITS
        },
    )


def shown(number: int, attempt: int, seed: int, count: int, of: int) -> list[int]:
    """Which `count` of `of` golden examples example `number` sees: other ones each time."""
    deck = list(range(of))
    return [
        dealt(deck, number * count + place, f"golden/{attempt}/{seed}") for place in range(count)
    ]


def dealt(choices: list[Any], number: int, seed: str) -> Any:
    """The `number`th card of shuffled decks of `choices`: each comes once before any comes
    twice."""
    deck, place = divmod(number, len(choices))
    shuffled = list(choices)
    Random(f"{seed}/{deck}").shuffle(shuffled)
    return shuffled[place]


def _shuffled(rng: Random) -> list[int]:
    numbers = list(range(_SIDE))
    rng.shuffle(numbers)
    return numbers


@cache
def _voices() -> dict[str, Any]:
    text = (files("haruon_tui.data.generation") / "voices.json").read_text("utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded
