"""The composer: what is the same every time, what is held out, what a report looks like."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from haruon_tui.dataset import composer, persona, report

TRAIT_KEYS = [trait.key for trait in persona.TRAITS]


@pytest.fixture(scope="module")
def composed() -> composer.Composed:
    return composer.compose(700, seed=7)


@pytest.fixture(scope="module")
def corpus() -> list[str]:
    return list(composer.base_corpus(seed=7))


def combination(levels: dict[str, str]) -> tuple[str, ...]:
    return tuple(levels[key] for key in TRAIT_KEYS)


def held_out_sentences() -> set[str]:
    return {
        answer.text
        for trait in persona.TRAITS
        for answers in composer.pool(trait).held_out.values()
        for answer in answers
    }


def test_the_same_seed_gives_the_same_records_and_another_seed_others() -> None:
    again = composer.compose(50, seed=7)
    assert composer.compose(50, seed=7) == again
    assert composer.compose(50, seed=8).records != again.records


def test_a_larger_dataset_begins_with_the_smaller_one() -> None:
    assert composer.compose(100, seed=7).records[:30] == composer.compose(30, seed=7).records


def test_cases_depend_on_neither_count_nor_seed(composed: composer.Composed) -> None:
    assert composer.compose(0, seed=99).cases == composed.cases


def test_every_level_of_every_trait_is_equally_frequent(composed: composer.Composed) -> None:
    for key in TRAIT_KEYS:
        counts = Counter(record["metadata"]["levels"][key] for record in composed.records)
        assert counts == dict.fromkeys(persona.LEVELS, 100)


def test_records_have_ids_of_their_own_and_do_not_repeat(composed: composer.Composed) -> None:
    assert len({record["metadata"]["id"] for record in composed.records}) == 700
    assert len({str(record["messages"]) for record in composed.records}) == 700


def test_both_groups_of_cases_have_forty(composed: composer.Composed) -> None:
    groups = Counter(case["group"] for case in composed.cases)
    assert groups == {composer.HELD_OUT_COMBINATIONS: 40, composer.HELD_OUT_SENTENCES: 40}
    assert len({case["id"] for case in composed.cases}) == 80


def test_no_record_has_a_held_out_combination_and_every_case_of_that_group_has_one(
    composed: composer.Composed,
) -> None:
    for record in composed.records:
        assert not composer.is_held_out(combination(record["metadata"]["levels"]))
    for case in composed.cases:
        if case["group"] == composer.HELD_OUT_COMBINATIONS:
            assert composer.is_held_out(combination(case["levels"]))


def test_held_out_combinations_ask_only_what_training_can_have_seen(
    composed: composer.Composed,
) -> None:
    known = {
        answer.text
        for trait in persona.TRAITS
        for answers in composer.pool(trait).known.values()
        for answer in answers
    }
    for case in composed.cases:
        seen = [answer in known for answer in case["answers"].values()]
        assert all(seen) == (case["group"] == composer.HELD_OUT_COMBINATIONS)
        assert any(seen) == (case["group"] == composer.HELD_OUT_COMBINATIONS)


def test_no_held_out_sentence_or_quote_is_in_a_record_or_in_the_corpus(
    composed: composer.Composed, corpus: list[str]
) -> None:
    texts = [record["messages"][1]["content"] for record in composed.records] + corpus
    everything = "\n".join(texts)
    assert not [sentence for sentence in held_out_sentences() if sentence in everything]
    known = {
        answer.quote
        for trait in persona.TRAITS
        for answers in composer.pool(trait).known.values()
        for answer in answers
    }
    held_out = {
        answer.quote
        for trait in persona.TRAITS
        for answers in composer.pool(trait).held_out.values()
        for answer in answers
    }
    assert not known & held_out


def test_the_corpus_never_holds_the_report_format(corpus: list[str]) -> None:
    for text in corpus:
        assert persona.TITLE.removeprefix("## ") not in text
        assert persona.OPENING not in text
        assert not re.search(r"^\s*#", text, re.MULTILINE)
        assert not report.parse(text).parts


def test_the_corpus_is_the_same_every_time(corpus: list[str]) -> None:
    assert list(composer.base_corpus(seed=7)) == corpus
    assert len(corpus) == composer.CORPUS_DOCUMENTS


def test_a_report_has_every_section_with_the_level_of_its_answer(
    composed: composer.Composed,
) -> None:
    for record in composed.records:
        parsed = report.parse(record["messages"][2]["content"])
        assert parsed.complete
        assert parsed.levels == record["metadata"]["levels"]


def test_a_report_quotes_what_the_user_said(composed: composer.Composed) -> None:
    for record in composed.records:
        asked, written = (record["messages"][number]["content"] for number in (1, 2))
        quotes = re.findall(r"^'(.+?)' 이야기에서", written, re.MULTILINE)
        assert len(quotes) == len(persona.TRAITS)
        assert all(quote in asked for quote in quotes)


def test_a_record_asks_exactly_what_an_evaluation_case_asks(composed: composer.Composed) -> None:
    record = composed.records[0]
    asked = record["messages"][1]["content"]
    answers = dict(
        zip(TRAIT_KEYS, re.findall(r"^\d\. .+?: '(.*)'$", asked, re.MULTILINE), strict=True)
    )
    assert record["messages"][:2] == persona.prompt_messages(answers)
