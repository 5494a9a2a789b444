"""Splits a dataset into what is trained on and what the loss is measured on.

What belongs together stays together: records made from one another, those with the same answers,
and near duplicates. Otherwise the loss would be measured on what was learned by heart.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

from haruon_tui.dataset import records
from haruon_tui.dataset.records import Record
from haruon_tui.dataset.report import parse

NEAR = 0.8
"""From this Jaccard on, two records are near duplicates (as the rule near-duplicate has it)."""

Label = tuple[str, str]


def shuffled(
    items: Sequence[Record], fraction: float, seed: int
) -> tuple[list[Record], list[Record]]:
    """Shuffle by `seed` and hold `fraction` out: (train, eval)."""
    mixed = list(items)
    random.Random(seed).shuffle(mixed)
    count = held_out_count(len(mixed), fraction)
    return mixed[count:], mixed[:count]


def stratified(
    items: Sequence[Record], fraction: float, seed: int
) -> tuple[list[Record], list[Record]]:
    """Hold `fraction` out so that every source and every level of every trait keeps its share:
    (train, eval), each in a random order by `seed`.

    Iterative stratification (Sechidis, Tsoumakas, Vlahavas, "On the stratification of multi-label
    data", 2011), with groups as units: the rarest label is dealt out first, each group to the side
    that lacks the larger share of all its labels.
    """
    chooser = random.Random(f"split {seed}")
    groups = _groups(items)
    chooser.shuffle(groups)
    labels = [Counter(label for at in group for label in _labels(items[at])) for group in groups]
    total: Counter[Label] = Counter()
    for counted in labels:
        total.update(counted)
    count = held_out_count(len(items), fraction)
    share = count / len(items) if items else 0.0
    rooms = [len(items) - count, count]
    wants = [
        {label: number * (1 - share) for label, number in total.items()},
        {label: number * share for label, number in total.items()},
    ]
    lacks = [dict(want) for want in wants]
    sides: list[list[Record]] = [[], []]
    waiting = dict.fromkeys(range(len(groups)))
    left = Counter(total)
    while waiting:
        rarest = min((number, label) for label, number in left.items() if number > 0)[1]
        for place in [place for place in waiting if labels[place][rarest]]:
            size = len(groups[place])
            side = max((0, 1), key=lambda at: _lack(lacks[at], wants[at], labels[place]))
            if rooms[side] < size:
                side = 1 - side if rooms[1 - side] >= size else 0
            sides[side] += [items[at] for at in groups[place]]
            rooms[side] -= size
            for label, number in labels[place].items():
                lacks[side][label] -= number
                left[label] -= number
            del waiting[place]
    for side_items in sides:
        chooser.shuffle(side_items)
    return sides[0], sides[1]


def held_out_count(total: int, fraction: float) -> int:
    """How many of `total` are held out. Neither side is left empty unless `fraction` is 0 or
    there is only one."""
    count = round(total * fraction)
    if fraction > 0 and total > 1:
        count = min(max(count, 1), total - 1)
    return count


def _lack(lacks: dict[Label, float], wants: dict[Label, float], labels: Counter[Label]) -> float:
    """How much of what a side wants of these labels is still missing, as a mean of shares."""
    return sum(lacks[label] / max(wants[label], 1e-9) for label in labels) / len(labels)


def _labels(record: Record) -> list[Label]:
    metadata = record.get("metadata") or {}
    levels = parse(records.content(record, "assistant")).levels
    return [("source", str(metadata.get("source"))), *sorted(levels.items())]


def _groups(items: Sequence[Record]) -> list[list[int]]:
    """The places of the records that must stay on one side."""
    from haruon_tui.dataset import duplicates
    from haruon_tui.dataset.block_checker import compared

    parents = list(range(len(items)))

    def root(at: int) -> int:
        while parents[at] != at:
            parents[at] = parents[parents[at]]
            at = parents[at]
        return at

    first: dict[tuple[str, str], int] = {}
    for at, item in enumerate(items):
        metadata = item.get("metadata") or {}
        turn = duplicates.plain(records.content(item, "user"))
        keys = [("turn", turn), *(("id", str(metadata[k])) for k in ("id", "of") if k in metadata)]
        for key in keys:
            parents[root(at)] = root(first.setdefault(key, at))
    texts = [duplicates.plain(compared(item)) for item in items]
    sketches = b"".join(duplicates.sketch(duplicates.gram_hashes(text)) for text in texts)
    for pair in duplicates.near(sketches, texts.__getitem__, NEAR):
        parents[root(pair.later)] = root(pair.earlier)
    groups: dict[int, list[int]] = {}
    for at in range(len(items)):
        groups.setdefault(root(at), []).append(at)
    return list(groups.values())
