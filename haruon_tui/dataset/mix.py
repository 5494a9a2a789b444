"""The final training set: records repeated by the weight of their source, and augmented ones.

Only what is trained on is repeated or augmented; what was held out stays as it is.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from haruon_tui.dataset.augment import How, augmented
from haruon_tui.dataset.records import Record
from haruon_tui.dataset.validator import Validator


@dataclass(frozen=True)
class Recipe:
    """`weights` says how often a record of each source stands in the set, 1 where it says
    nothing: 2.5 is every one twice and half of them a third time, 0.5 half of them, 0 none.
    `augment` is the number of augmented records per record, made in `ways`."""

    weights: Mapping[str, float]
    augment: float
    ways: tuple[How, ...]
    seed: int


@dataclass(frozen=True)
class Mixed:
    """`repeats` counts the second and further times that a record stands in `records`."""

    records: list[Record]
    repeats: int
    augmented: int

    @property
    def sources(self) -> dict[str, int]:
        """Records by source, the repeated ones counted each time."""
        return dict(Counter(str(item["metadata"]["source"]) for item in self.records))

    @property
    def golden_share(self) -> float:
        """Golden records and those made from them, of all."""
        of_golden = sum(
            item["metadata"]["source"] == "golden"
            or str(item["metadata"].get("of", "")).startswith("golden-")
            for item in self.records
        )
        return of_golden / len(self.records) if self.records else 0.0


def mixed(train: Sequence[Record], recipe: Recipe, validator: Validator) -> Mixed:
    """Put the training set together. With weights of 1 and no augmentation it is `train` itself,
    in its order; else the order is drawn by the seed. A copy keeps the id of its record."""
    chooser = random.Random(f"mix {recipe.seed}")
    together: list[Record] = []
    for source in dict.fromkeys(item["metadata"]["source"] for item in train):
        part = [item for item in train if item["metadata"]["source"] == source]
        whole = math.floor(weight := recipe.weights.get(source, 1.0))
        more = round((weight - whole) * len(part))
        together += part * whole + chooser.sample(part, more)
    kept = list({id(item): item for item in together}.values())
    count = round(recipe.augment * len(kept))
    further = list(augmented(kept, count, recipe.ways, recipe.seed, validator)) if count else []
    repeats = len(together) - len(kept)
    if not further and len(together) == len(train) and not repeats:
        return Mixed(list(train), 0, 0)
    together += further
    chooser.shuffle(together)
    return Mixed(together, repeats, len(further))
