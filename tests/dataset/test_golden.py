"""The golden reports and evaluation cases hold to what the program asks of others."""

from __future__ import annotations

import re
from collections import Counter
from itertools import combinations

from haruon_tui.dataset import golden, persona, records
from haruon_tui.dataset.report import parse
from haruon_tui.dataset.validator import Validator

RECORDS = [line.record for line in records.read(golden.reports_file()) if hasattr(line, "record")]
CASES = golden.load_cases(golden.cases_file())


def report_of(record: dict[str, object]) -> str:
    return records.content(record, "assistant")


def test_every_golden_report_passes_the_calibrated_rules_without_a_finding() -> None:
    assert len(RECORDS) == 100
    validator = Validator("calibrated")
    assert [finding for record in RECORDS for finding in validator.check(record)] == []
    assert all(parse(report_of(record)).complete for record in RECORDS)


def test_the_prompt_is_the_one_the_model_is_asked_with() -> None:
    for record in RECORDS:
        answers = records.answers(record)
        assert answers
        assert record["messages"][:2] == persona.prompt_messages(answers)


def test_metadata_gives_the_level_of_every_trait() -> None:
    for number, record in enumerate(RECORDS, start=1):
        metadata = record["metadata"]
        assert metadata["id"] == f"golden-{number:03d}"
        assert metadata["source"] == "golden"
        assert metadata["levels"] == parse(report_of(record)).levels
        assert list(metadata["levels"]) == [trait.key for trait in persona.TRAITS]


def test_what_a_report_quotes_was_said() -> None:
    for record in RECORDS:
        answers = records.answers(record)
        assert answers
        for part in parse(report_of(record)).traits:
            quotes = re.findall(r"'([^']+)'", part.body)
            assert quotes, (record["metadata"]["id"], part.key)
            for quote in quotes:
                assert quote in answers[part.key], (record["metadata"]["id"], quote)


def test_no_sentence_comes_twice_over_the_set() -> None:
    sentences: Counter[str] = Counter()
    phrases: Counter[str] = Counter()
    for record in RECORDS:
        report = parse(report_of(record))
        for body in [*(part.body for part in report.traits), report.summary]:
            sentences.update(re.split(r"(?<=[.!?])\s+", body))
            words = body.split()
            phrases.update(" ".join(words[at : at + 4]) for at in range(len(words) - 3))
    assert [sentence for sentence, count in sentences.items() if count > 1] == []
    assert [phrase for phrase, count in phrases.items() if count > 1] == []


def test_no_two_reports_are_alike() -> None:
    """Jaccard similarity of character 5-grams, without headings and opening line."""
    grams = []
    for record in RECORDS:
        report = parse(report_of(record))
        text = " ".join([*(part.body for part in report.traits), report.summary])
        grams.append({text[at : at + 5] for at in range(len(text) - 4)})
    nearest = max(len(a & b) / len(a | b) for a, b in combinations(grams, 2))
    assert nearest <= 0.6


def test_every_trait_has_every_level_in_reports_and_in_cases() -> None:
    for levels in ([r["metadata"]["levels"] for r in RECORDS], [c["levels"] for c in CASES]):
        for trait in persona.TRAITS:
            assert {each[trait.key] for each in levels} == set(persona.LEVELS), trait.key


def test_no_case_is_among_the_golden_reports() -> None:
    assert len(CASES) == 40
    assert {case["group"] for case in CASES} == {"golden cases"}
    assert len({case["id"] for case in CASES}) == len(CASES)
    asked = {answer for record in RECORDS for answer in (records.answers(record) or {}).values()}
    assert not asked & {answer for case in CASES for answer in case["answers"].values()}
