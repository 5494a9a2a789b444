"""Makes further training records of given ones by changing how the answers are put.

Three ways, each from the table data/augmentation/wording.json:

* order: the sentences of an answer change places, where none leans on the one before it;
* wording: words and endings give way to others of the same meaning, never inside a phrase that
  the report quotes;
* length: a word that says nothing or a sentence that the report does not touch falls away, or an
  opening that says nothing of a trait comes before the first answer.

A report is never altered. What is made must pass the rule set, and says where it comes from:
metadata.source is "augmented", `of` the id of the record, `how` the way.
"""

from __future__ import annotations

import copy
import json
import random
import re
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from importlib.resources import files
from typing import Any, Literal, get_args

from haruon_tui.dataset import persona, quotations, records
from haruon_tui.dataset.records import Record
from haruon_tui.dataset.validator import Validator, is_valid

How = Literal["order", "wording", "length"]
WAYS: tuple[How, ...] = get_args(How)

_SENTENCES = re.compile(r"(?<=[.!?…])\s+")
_PAST_POLITE = re.compile(r"([가-힣])어요(?=[.!?…]|$)")
_CHANGED = 0.5
"""The chance of a change at each place that allows one; one at least is made."""


def augmented(
    items: Sequence[Record], count: int, ways: Sequence[How], seed: int, validator: Validator
) -> Iterator[Record]:
    """Up to `count` new records from `items`, each item as often as any other and in every way in
    turn. The same arguments give the same records. Fewer come where the items allow no more.
    """
    chooser = random.Random(f"augment {seed}")
    order = [item for item in items if records.answers(item) is not None]
    chooser.shuffle(order)
    turns = {records.content(item, "user") for item in items}
    made, barren = 0, 0
    numbers: dict[str, int] = {}
    while made < count and order and ways and barren < len(ways):
        before = made
        for place, item in enumerate(order):
            if made == count:
                return
            way = ways[(place + made // len(order) + barren) % len(ways)]
            record = _one(item, way, chooser, turns, validator, numbers)
            if record is not None:
                made += 1
                yield record
        barren = barren + 1 if made == before else 0


def _one(
    item: Record,
    way: How,
    chooser: random.Random,
    turns: set[str],
    validator: Validator,
    numbers: dict[str, int],
) -> Record | None:
    """The item, its answers put differently; None where this way gives nothing new and valid."""
    answers = records.answers(item) or {}
    report = records.content(item, "assistant")
    changed = _WAYS[way](answers, report, chooser)
    turn = persona.user_turn(changed)
    if turn in turns:
        return None
    id = str(item["metadata"]["id"])
    record: Record = {
        "messages": copy.deepcopy(item["messages"]),
        "metadata": {
            "id": f"{id}-{way}-{numbers.get(id, 0) + 1}",
            "source": "augmented",
            "levels": dict(item["metadata"]["levels"]),
            "of": str(item["metadata"].get("of") or id),
            "how": way,
        },
    }
    next(m for m in record["messages"] if m["role"] == "user")["content"] = turn
    if not is_valid(validator.check(record)):
        return None
    turns.add(turn)
    numbers[id] = numbers.get(id, 0) + 1
    return record


def _reordered(answers: dict[str, str], report: str, chooser: random.Random) -> dict[str, str]:
    free = {
        key: sentences
        for key, text in answers.items()
        if len(sentences := _SENTENCES.split(text)) > 1 and not any(map(_leans, sentences))
    }
    changed = dict(answers)
    for key in _some(list(free), chooser):
        sentences = free[key]
        shuffled = list(sentences)
        chooser.shuffle(shuffled)
        if shuffled == sentences:
            shuffled.reverse()
        changed[key] = " ".join(shuffled)
    return changed


def _leans(sentence: str) -> bool:
    """Whether a sentence goes on from the one before it."""
    table = _table()
    ending = sentence.rstrip(".!?…~")
    return sentence.startswith(tuple(table["bound"])) or ending.endswith(tuple(table["leaning"]))


def _reworded(answers: dict[str, str], report: str, chooser: random.Random) -> dict[str, str]:
    quoted = _quoted(report)
    places: list[tuple[str, int, int, str]] = []
    for key, text in answers.items():
        taken = _spans(text, quoted)
        for start, end, other in _replaceable(text):
            if not any(start < stop and begin < end for begin, stop in taken):
                places.append((key, start, end, other))
    changed = dict(answers)
    # From the back, so that the places before stay where they are.
    for key, start, end, other in sorted(_some(places, chooser), key=lambda each: -each[1]):
        changed[key] = changed[key][:start] + other + changed[key][end:]
    for key in list(answers):
        turned = _other_endings(changed[key], quoted)
        if turned is not None and chooser.random() < _CHANGED:
            changed[key] = turned
    return changed


def _replaceable(text: str) -> Iterator[tuple[int, int, str]]:
    words = _words()
    for match in re.finditer(r"[가-힣]+", text):
        if other := words.get(match[0]):
            yield match.start(), match.end(), other


def _other_endings(text: str, quoted: frozenset[str]) -> str | None:
    """The answer with every sentence in the other form of politeness; None where one cannot."""
    for turn in (_formal, _polite):
        sentences = [turn(sentence) for sentence in _SENTENCES.split(text)]
        whole = [sentence for sentence in sentences if sentence is not None]
        if len(whole) == len(sentences):
            turned = " ".join(whole)
            return turned if all(phrase in turned for phrase in quoted if phrase in text) else None
    return None


def _formal(sentence: str) -> str | None:
    mark = sentence[len(sentence.rstrip(".!?…")) :]
    bare = sentence[: len(sentence) - len(mark)]
    past = _PAST_POLITE.search(bare)
    if past and (ord(past[1]) - 0xAC00) % 28 == _DOUBLE_S:  # 했어요, 있어요
        return bare[: past.end(1)] + "습니다" + (mark or ".")
    for polite, formal in _table()["endings"]:
        if bare.endswith(polite):
            return str(bare[: -len(polite)] + formal + (mark or "."))
    return None


def _polite(sentence: str) -> str | None:
    mark = sentence[len(sentence.rstrip(".!?…")) :]
    bare = sentence[: len(sentence) - len(mark)]
    if bare.endswith("습니다") and len(bare) > 3 and (ord(bare[-4]) - 0xAC00) % 28 == _DOUBLE_S:
        return bare[:-3] + "어요" + mark
    for polite, formal in _table()["endings"]:
        if bare.endswith(formal):
            return str(bare[: -len(formal)] + polite + mark)
    return None


_DOUBLE_S = 20
"""ㅆ among the 28 finals of a Hangul syllable (Unicode 3.12)."""


def _resized(answers: dict[str, str], report: str, chooser: random.Random) -> dict[str, str]:
    changed = dict(answers)
    shorter = {key: text for key in answers if (text := _shortened(answers[key], report))}
    if shorter and chooser.random() < _CHANGED:
        for key in _some(list(shorter), chooser):
            changed[key] = shorter[key]
        return changed
    first = persona.TRAITS[0].key
    form = "polite" if answers[first].rstrip(".!?…' ").endswith("요") else "formal"
    changed[first] = f"{chooser.choice(_table()['openers'][form])} {answers[first]}"
    return changed


def _shortened(text: str, report: str) -> str | None:
    """The answer without its empty words, else without a sentence that the report rests nothing
    on; None where it has neither."""
    quoted = _quoted(report)
    for marker in _table()["markers"]:
        bare = re.sub(rf"(?<![가-힣]){marker}(?![가-힣]),? +", "", text)
        if bare != text and all(phrase in bare for phrase in quoted if phrase in text):
            return bare
    sentences = _SENTENCES.split(text)
    for place, sentence in enumerate(sentences):
        leans = place + 1 < len(sentences) and _leans(sentences[place + 1])
        if len(sentences) > 1 and not leans and quotations.share_said(sentence, report) == 0:
            return " ".join(sentences[:place] + sentences[place + 1 :])
    return None


_WAYS: dict[How, Callable[[dict[str, str], str, random.Random], dict[str, str]]] = {
    "order": _reordered,
    "wording": _reworded,
    "length": _resized,
}


def _some(places: list[Any], chooser: random.Random) -> list[Any]:
    """About half of the places, one at least."""
    chosen = [place for place in places if chooser.random() < _CHANGED]
    return chosen or ([chooser.choice(places)] if places else [])


def _quoted(report: str) -> frozenset[str]:
    return frozenset(phrase for _, phrase in quotations.phrases(report))


def _spans(text: str, phrases: frozenset[str]) -> list[tuple[int, int]]:
    return [
        (match.start(), match.end())
        for phrase in phrases
        for match in re.finditer(re.escape(phrase), text)
    ]


@cache
def _words() -> dict[str, str]:
    return dict(_table()["words"])


@cache
def _table() -> dict[str, Any]:
    file = files("haruon_tui.data.augmentation") / "wording.json"
    loaded: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return loaded
