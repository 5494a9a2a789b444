"""Offline dataset: Korean answers and reports composed from sentence pools in data/composer.

A pool belongs to one trait. It holds topics, and for each of the seven levels the ways in which
an app user speaks about a topic and the tendencies that a report reads from it. An answer is a
topic put into one of these ways; its level is that of the way.

Two things are held out of every dataset and of the base model's corpus:

* combinations: about one in twenty of the 7^5 combinations of levels, found by a hash;
* sentences: two answers per trait and level, about topics that appear nowhere else.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from haruon_tui.dataset.persona import (
    LEVELS,
    OPENING,
    SUMMARY,
    SYSTEM_PROMPT,
    TITLE,
    TRAITS,
    Trait,
    prompt_messages,
    user_turn,
)

HELD_OUT_COMBINATIONS = "held-out combinations"
HELD_OUT_SENTENCES = "held-out sentences"
CASES_PER_GROUP = 40
CORPUS_DOCUMENTS = 4200

_HELD_OUT_SHARE = 20
_VARIED = 0.1
"""Share of texts about any noun. With none, a small model loses its thread at an unknown word;
with many, it takes far longer to learn what a level is."""
_CASE_SEED = 20_240_607
_QUOTE = re.compile(r"\[(.+?)\]")

Combination = tuple[str, ...]
"""One level per trait, in the order of TRAITS."""


@dataclass(frozen=True)
class Composed:
    """`records` are dataset records, `cases` evaluation cases, both as plain JSON values."""

    records: list[dict[str, Any]]
    cases: list[dict[str, Any]]


@dataclass(frozen=True)
class Answer:
    """What a user says about one trait, the part of it that a report quotes, and its reading."""

    text: str
    quote: str
    level: str
    tendency: str


@dataclass(frozen=True)
class Pool:
    """The answers to one trait's question, by level: on the usual topics, and on any noun."""

    known: Mapping[str, tuple[Answer, ...]]
    varied: Mapping[str, tuple[Answer, ...]]
    held_out: Mapping[str, tuple[Answer, ...]]


def compose(count: int, seed: int) -> Composed:
    """`count` records with evenly spread levels, and the evaluation cases.

    The same arguments give the same records. The cases depend on neither: every dataset is
    measured by the same ones.
    """
    chooser = random.Random(f"records {seed}")
    records = [
        _record(f"composed-{seed}-{number:06d}", _answers(combination, chooser, _VARIED))
        for number, combination in zip(range(count), _balanced(chooser), strict=False)
    ]
    return Composed(records, _cases())


def is_held_out(combination: Combination) -> bool:
    """Whether this combination of levels is kept for evaluation."""
    digest = hashlib.sha256("|".join(combination).encode()).digest()
    return int.from_bytes(digest[:4], "big") % _HELD_OUT_SHARE == 0


def report(answers: Mapping[str, Answer]) -> str:
    """The report on five answers keyed by trait, in the persona's exact form."""
    sections = [f"{TITLE}\n\n{OPENING}"]
    for trait in TRAITS:
        answer = answers[trait.key]
        sections.append(
            f"{trait.heading}: {answer.level}\n"
            f"'{answer.quote}' 이야기에서 {answer.tendency} 성향을 보입니다."
        )
    openness, conscientiousness, extraversion, agreeableness, neuroticism = (
        _clause(trait, answers[trait.key].level) for trait in TRAITS
    )
    sections.append(
        f"{SUMMARY}\n\n"
        f"당신은 {openness} {conscientiousness} 성향을 보입니다. "
        f"{extraversion} {agreeableness} 모습이 돋보이고, "
        f"{neuroticism} 점도 소중한 자산이 될 수 있습니다."
    )
    return "\n\n".join(sections)


def base_corpus(seed: int) -> Iterator[str]:
    """Texts for the embedded base model: answers with free prose about them, never a report.

    Three in four are ChatML conversations on five answers; the others are plain prose on one.
    """
    chooser = random.Random(f"corpus {seed}")
    combinations = _balanced(chooser)
    glossary = _resource("prose")["glossary"]
    for number in range(CORPUS_DOCUMENTS):
        answers = _answers(next(combinations), chooser, _VARIED)
        if number % 4:
            yield _conversation(answers, chooser)
        else:
            remarks = [
                f"{answers[trait.key].text} {_reading(trait, answers[trait.key], chooser)}"
                for trait in chooser.sample(TRAITS, 2)
            ]
            yield "\n".join([*remarks, *chooser.sample(glossary, 2)])


@cache
def pool(trait: Trait) -> Pool:
    """The pool of one trait."""
    source = _resource(trait.key)
    known: dict[str, tuple[Answer, ...]] = {}
    varied: dict[str, tuple[Answer, ...]] = {}
    nouns = _resource("nouns")["nouns"]
    frames = [frame.format(noun=noun) for frame in source["topics_with_noun"] for noun in nouns]
    held_out: dict[str, tuple[Answer, ...]] = {}
    for level in LEVELS:
        entry = source["levels"][level]
        tendencies = entry["tendencies"]
        # A way of speaking always goes with the same tendency, so that a report follows from
        # its answers.
        known[level], varied[level] = (
            tuple(
                _answer(way.format(topic=topic), level, tendencies[number % len(tendencies)])
                for number, way in enumerate(entry["answers"])
                for topic in topics
            )
            for topics in (source["topics"], frames)
        )
        held_out[level] = tuple(_answer(text, level, tendencies[0]) for text in entry["held_out"])
    return Pool(known, varied, held_out)


def _answer(marked: str, level: str, tendency: str) -> Answer:
    quote = _QUOTE.search(marked)
    if quote is None:
        raise ValueError(f"no [quote] in the pool sentence {marked!r}")
    return Answer(_QUOTE.sub(r"\1", marked), quote.group(1), level, tendency)


def _balanced(chooser: random.Random) -> Iterator[Combination]:
    """Combinations without end, none held out; in every seven each trait has each level once."""
    while True:
        columns = [chooser.sample(LEVELS, len(LEVELS)) for _ in TRAITS]
        block = list(zip(*columns, strict=True))
        if not any(is_held_out(combination) for combination in block):
            yield from block


def _answers(combination: Combination, chooser: random.Random, varied: float) -> dict[str, Answer]:
    """An answer per trait, with the probability `varied` all of them on any noun."""
    on_any_noun = chooser.random() < varied
    return {
        trait.key: chooser.choice(
            (pool(trait).varied if on_any_noun else pool(trait).known)[level]
        )
        for trait, level in zip(TRAITS, combination, strict=True)
    }


def _record(name: str, answers: Mapping[str, Answer]) -> dict[str, Any]:
    return {
        "messages": [
            *prompt_messages(_texts(answers)),
            {"role": "assistant", "content": report(answers)},
        ],
        "metadata": {"id": name, "source": "composed", "levels": _levels(answers)},
    }


def _cases() -> list[dict[str, Any]]:
    chooser = random.Random(_CASE_SEED)
    cases = []
    for number in range(CASES_PER_GROUP):
        combination = tuple(chooser.choice(LEVELS) for _ in TRAITS)
        while not is_held_out(combination):
            combination = tuple(chooser.choice(LEVELS) for _ in TRAITS)
        answers = _answers(combination, chooser, 0.0)
        cases.append(_case(f"combination-{number:03d}", HELD_OUT_COMBINATIONS, answers))
    for number, combination in zip(range(CASES_PER_GROUP), _balanced(chooser), strict=False):
        answers = {
            trait.key: chooser.choice(pool(trait).held_out[level])
            for trait, level in zip(TRAITS, combination, strict=True)
        }
        cases.append(_case(f"sentence-{number:03d}", HELD_OUT_SENTENCES, answers))
    return cases


def _case(name: str, group: str, answers: Mapping[str, Answer]) -> dict[str, Any]:
    return {
        "id": name,
        "group": group,
        "answers": _texts(answers),
        "levels": _levels(answers),
    }


def _conversation(answers: Mapping[str, Answer], chooser: random.Random) -> str:
    """A ChatML conversation: the five answers as the app sends them, and free prose on each."""
    prose = " ".join(_reading(trait, answers[trait.key], chooser) for trait in TRAITS)
    question = user_turn(_texts(answers))
    system = SYSTEM_PROMPT
    if chooser.random() < 0.2:
        system = "You are a helpful assistant."
        question = f"{chooser.choice(_resource('prose')['questions'])}\n{question}"
    return (
        f"<|im_start|>system\n{system}<|im_end|>\n"
        f"<|im_start|>user\n{question}<|im_end|>\n"
        f"<|im_start|>assistant\n{prose}<|im_end|>\n"
    )


def _reading(trait: Trait, answer: Answer, chooser: random.Random) -> str:
    source = _resource("prose")
    reading: str = chooser.choice(source["readings"])
    return reading.format(
        trait=trait.korean,
        english=trait.english,
        degree=source["degrees"][answer.level],
        quote=answer.quote,
        tendency=answer.tendency,
    )


def _clause(trait: Trait, level: str) -> str:
    place = LEVELS.index(level) - len(LEVELS) // 2
    clause: str = _resource("summary")[trait.key][
        "low" if place < 0 else "high" if place > 0 else "middle"
    ]
    return clause


def _texts(answers: Mapping[str, Answer]) -> dict[str, str]:
    return {key: answer.text for key, answer in answers.items()}


def _levels(answers: Mapping[str, Answer]) -> dict[str, str]:
    return {key: answer.level for key, answer in answers.items()}


@cache
def _resource(name: str) -> dict[str, Any]:
    file = resources.files("haruon_tui.data") / "composer" / f"{name}.json"
    loaded: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return loaded
