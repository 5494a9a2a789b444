"""Every bad record is caught by the rule that is meant, at its place; good sentences by none."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from haruon_tui.dataset import golden, persona, records, rules
from haruon_tui.dataset.file_validation import validate_file
from haruon_tui.dataset.validator import Validator
from tests.dataset.bad_records import BAD, BAD_IN_A_FILE, GOOD, BadRecord

VALIDATOR = Validator("calibrated")
GOOD_SENTENCES = (Path(__file__).parent / "good_sentences.txt").read_text(encoding="utf-8")


def test_the_corpus_is_large_and_no_record_comes_twice() -> None:
    assert len(BAD) + len(BAD_IN_A_FILE) >= 120
    written = Counter(records.encode(bad.record) for bad in BAD)
    assert max(written.values()) == 1


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.id)
def test_each_fault_is_found_by_its_rule_at_its_place_and_by_no_other(bad: BadRecord) -> None:
    found = VALIDATOR.check(bad.record)
    meant = [finding for finding in found if finding.rule == bad.rule]
    places = [(finding.path, finding.start, finding.end) for finding in meant]
    assert (bad.path, *(bad.span or (None, None))) in places
    if bad.span:
        assert len(places) == 1
    assert {finding.rule for finding in found} == {bad.rule, *bad.also}
    assert all(finding.message and finding.suggestion for finding in found)


def test_what_is_bad_only_beside_other_records_is_found_in_its_line(tmp_path: Path) -> None:
    path = tmp_path / "set.jsonl"
    records.write(path, [*GOOD, *(bad.record for bad in BAD_IN_A_FILE)])
    cases = {
        case["id"]: persona.user_turn(case["answers"])
        for case in golden.load_cases(golden.cases_file())
    }
    by_line: dict[int, list[tuple[object, ...]]] = {}
    for found in validate_file(path, cases=cases).findings:
        place = (found.finding.rule, found.finding.path, found.finding.start, found.finding.end)
        by_line.setdefault(found.line, []).append(place)
    lines = range(len(GOOD) + 1, len(GOOD) + len(BAD_IN_A_FILE) + 1)
    assert set(by_line) == set(lines)
    for line, bad in zip(lines, BAD_IN_A_FILE, strict=True):
        assert (bad.rule, bad.path, *(bad.span or (None, None))) in by_line[line], bad.id
        assert {place[0] for place in by_line[line]} <= {bad.rule, *bad.also}, bad.id


def test_no_rule_is_left_without_a_bad_record() -> None:
    tried = {bad.rule for bad in (*BAD, *BAD_IN_A_FILE)}
    assert {rule.id for rule in rules.load("calibrated").rules} == tried


def test_two_hundred_good_sentences_raise_nothing() -> None:
    sentences = GOOD_SENTENCES.splitlines()
    assert len(set(sentences)) == len(sentences) >= 200
    for ending in ("보입니다.", "편입니다.", "유형입니다.", "성격입니다.", "입니다."):
        assert sum(sentence.endswith(ending) for sentence in sentences) >= 20, ending
    # Sentences are no reports: that the parts are missing is not what is asked here.
    found = [
        (sentence, finding.rule, finding.text)
        for sentence in sentences
        for finding in VALIDATOR.check_report(sentence)
        if finding.rule != "missing-section"
    ]
    assert found == []


def test_good_sentences_at_the_end_of_a_report_raise_nothing_either() -> None:
    sentences = GOOD_SENTENCES.splitlines()
    report = records.content(GOOD[0], "assistant")
    for at in range(0, len(sentences), 4):
        text = f"{report} {' '.join(sentences[at : at + 4])}"
        assert [(found.rule, found.text) for found in VALIDATOR.check_report(text)] == []
