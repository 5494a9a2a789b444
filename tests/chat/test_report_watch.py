"""Reports with known faults, made from golden ones by the mutations of tests/dataset/bad_records,
streamed a token at a time."""

from __future__ import annotations

import random
import re
from dataclasses import asdict
from itertools import pairwise
from queue import SimpleQueue
from typing import Any

import pytest

from haruon_tui.chat.report_watch import (
    BY_RULES,
    FORBIDDEN,
    LENGTH,
    QUOTES,
    REPORT_PATH,
    STOPPED,
    Check,
    ReportWatch,
    check_of,
    settled_length,
)
from haruon_tui.dataset import persona, records, report
from haruon_tui.dataset.browser.pipes import Child
from haruon_tui.dataset.validator import Finding, Validator, is_valid
from haruon_tui.evaluation.cases import Case
from haruon_tui.evaluation.scoring import score
from tests.dataset.bad_records import BAD, GOOD, BadRecord

VALIDATORS = {name: Validator(name) for name in ("calibrated", "guide")}
_OF_THE_RECORD = {
    rule.id for rule in VALIDATORS["calibrated"].rules.rules if rule.group == "record"
}
STORED = list(
    {
        bad.rule: bad for bad in BAD if bad.path == REPORT_PATH and bad.rule not in _OF_THE_RECORD
    }.values()
)
"""One report for each rule that looks at reports."""

_ODD = ["'", '"', "(", ". ", "  ", "\n", "우울증\n", "#", "병. ", "{%", "진단 " * 25]

ONWARD = {("waiting", "passed"), ("waiting", "warning"), ("waiting", "failed")} | {
    ("warning", "failed")
}


def case_of(record: records.Record) -> Case:
    return Case(
        id="case",
        group="stored",
        answers=records.answers(record),
        levels=record["metadata"]["levels"],
    )


def tokens_of(text: str) -> list[str]:
    """Pieces as a tokenizer of Korean makes them: one to three characters, marks apart."""
    return re.findall(r"[가-힣]{1,3}| ?[A-Za-z]+|\s|.", text, re.DOTALL)


def places(findings: list[Finding]) -> list[tuple[Any, ...]]:
    return [(one.rule, one.severity, one.path, one.start, one.end) for one in findings]


def streamed(case: Case, text: str, validator: Validator, pieces: list[str]) -> ReportWatch:
    """The watch at the end of the stream, having seen that nothing was taken back on the way."""
    watch = ReportWatch(case, validator)
    seen = [watch.checks]
    shown: set[tuple[Any, ...]] = set()
    for piece in [*pieces, None]:
        if piece is None:
            watch.finish("stop")
        elif not watch.feed(piece):
            continue
        now = set(places(watch.findings))
        assert shown <= now, f"taken back: {shown - now}"
        shown = now
        seen.append(watch.checks)
    for before, after in pairwise(seen):
        for old, new in zip(before, after, strict=True):
            assert old.state == new.state or (old.state, new.state) in ONWARD, (old, new)
    assert watch.text == text
    return watch


def state_of(watch: ReportWatch, name: str) -> str:
    return next(check.state for check in watch.checks if check.name == name)


def expected_checks(
    case: Case, text: str, validator: Validator, found: list[Finding]
) -> list[tuple[str, str]]:
    """The states at the end, from the validator's findings and the score of `haruon evaluate`."""
    scored = score(case, text, stopped=True, tokens=0, rules=validator.rules.name)
    rules = {rule.id: rule for rule in validator.rules.rules}
    states = []
    for key in report.PARTS:
        state = "failed" if key in scored.missing else "passed"
        if key in scored.traits and not scored.traits[key].exact:
            state = "warning" if scored.traits[key].within_one else "failed"
        states.append((key, state))
    for name in BY_RULES:
        here = [one for one in found if check_of(one, rules[one.rule]) == name]
        failed = not is_valid(here)
        states.append((name, "failed" if failed else "warning" if here else "passed"))
    return [*states, (STOPPED, "passed")]


def test_there_are_twenty_stored_reports_with_a_fault_of_their_own() -> None:
    assert len(STORED) >= 20
    assert len({bad.rule for bad in STORED}) == len(STORED)


@pytest.mark.parametrize("rules", ["calibrated", "guide"])
@pytest.mark.parametrize("bad", STORED, ids=lambda bad: bad.id)
def test_the_live_checks_end_as_the_validator_says_and_none_flickers(
    bad: BadRecord, rules: str
) -> None:
    validator, case = VALIDATORS[rules], case_of(bad.record)
    text = records.content(bad.record, "assistant")
    watch = streamed(case, text, validator, tokens_of(text))
    asked = {"messages": [*case.messages, {"role": "assistant", "content": text}]}
    found = validator.check(asked)
    assert watch.findings == found
    assert [(one.name, one.state) for one in watch.checks] == expected_checks(
        case, text, validator, found
    )
    if rules == "calibrated":
        assert (bad.rule, *(bad.span or (None, None))) in [
            (one.rule, one.start, one.end) for one in watch.findings
        ]


def test_no_check_flickers_on_any_record_or_on_rubbish_made_of_them() -> None:
    rng = random.Random(20261126)
    texts = [(case_of(bad.record), records.content(bad.record, "assistant")) for bad in STORED]
    lines = [line for _, text in texts for line in text.split("\n")]
    for number in range(150):
        case, text = texts[number % len(texts)]
        mixed = text.split("\n")
        for _ in range(rng.randint(1, 8)):
            at = rng.randrange(len(mixed))
            line, place = mixed[at], rng.randrange(len(mixed[at]) + 1)
            odd = rng.choice(
                ["'", '"', "(", ". ", "\n", "우울증\n", "#", "병. ", "{%", "진단 " * 25]
            )
            mixed[at] = line[:place] + odd + line[place:]
            mixed.insert(rng.randrange(len(mixed)), rng.choice(lines))
        text = "\n".join(mixed)
        for validator in VALIDATORS.values():
            streamed(case, text, validator, tokens_of(text))


def test_a_forbidden_expression_is_marked_before_the_report_goes_on() -> None:
    text = records.content(GOOD[0], "assistant")
    at = text.index("### 외향성")
    fault = "당신은 우울증입니다. "
    text = text[:at].rstrip() + " " + fault + "그래도 괜찮습니다.\n\n" + text[at:]
    watch = ReportWatch(case_of(GOOD[0]), VALIDATORS["calibrated"])
    end = text.index(fault) + len(fault)
    watch.feed(text[: end - 1])
    assert watch.findings == []  # the full stop may belong to a number
    watch.feed(text[end - 1 : end])
    marked = [(one.rule, text[one.start : one.end]) for one in watch.findings]
    assert marked == [("stated-diagnosis", "우울증입니다")]
    assert state_of(watch, FORBIDDEN) == "failed"
    assert state_of(watch, QUOTES) == state_of(watch, LENGTH) == "waiting"


def test_a_level_is_judged_when_its_heading_line_is_over() -> None:
    case = case_of(GOOD[0])
    expected = case.levels["openness"]
    watch = ReportWatch(case, VALIDATORS["calibrated"])
    watch.feed(f"{persona.TITLE}\n\n{persona.OPENING}\n\n### 개방성 (Openness): {expected}")
    assert state_of(watch, "openness") == "waiting"
    watch.feed("\n")
    assert state_of(watch, "openness") == "passed"
    watch.feed("본문입니다.\n\n### 성실성 (Conscientiousness): 아주 높음\n")
    assert state_of(watch, "conscientiousness") == "failed"
    assert state_of(watch, "summary") == "waiting"
    watch.finish("length")
    assert state_of(watch, "summary") == state_of(watch, STOPPED) == "failed"


@pytest.mark.parametrize(
    ("text", "settled"),
    [
        ("문장입니다.", ""),  # an ellipsis or a number may follow
        ("문장입니다. 다", "문장입니다."),
        ("앞. '열린 인용. 뒤", "앞."),
        ("앞. '닫힌 인용. 뒤' 끝. 다", "앞. '닫힌 인용. 뒤' 끝."),
        ("병(예. 재발", ""),
        ("### 개방성: 높음. 그", ""),
        ("## 제목\n본문", "## 제목\n"),
        ("'" + "가" * 201 + ". 나", "'" + "가" * 201 + "."),
        ("", ""),
    ],
)
def test_only_what_cannot_change_is_settled(text: str, settled: str) -> None:
    assert text[: settled_length(text)] == settled


def test_an_empty_answer_and_a_cut_one_are_judged_whole() -> None:
    for text in ("", "\n\n", "## Big5 심리 분석 리포트\n\n당신의"):
        case = case_of(GOOD[0])
        watch = streamed(case, text, VALIDATORS["calibrated"], tokens_of(text))
        asked = {"messages": [*case.messages, {"role": "assistant", "content": text}]}
        assert watch.findings == VALIDATORS["calibrated"].check(asked)
        assert state_of(watch, "summary") == "failed"


def test_the_child_process_ends_as_the_watch_does_and_scores_as_evaluate_does() -> None:
    said: SimpleQueue[dict[str, Any]] = SimpleQueue()
    child = Child("haruon_tui.chat.watch_worker", said.put)
    try:
        for number, bad in enumerate(STORED[:6], start=1):
            case, text = case_of(bad.record), records.content(bad.record, "assistant")
            child.send(
                {
                    "do": "begin",
                    "number": number,
                    "rules": "calibrated",
                    "tokenizer": None,
                    "case": case.model_dump(),
                }
            )
            for piece in tokens_of(text):
                child.send({"do": "feed", "number": number, "text": piece})
            child.send({"do": "feed", "number": number - 1, "text": "of an earlier report"})
            child.send({"do": "finish", "number": number, "reason": "stop", "tokens": 9})
            last: dict[str, Any] = {}
            while not last.get("score"):
                last = said.get(timeout=30)
                assert "problem" not in last
            watch = streamed(case, text, VALIDATORS["calibrated"], [text])
            assert last["number"] == number
            assert last["findings"] == [asdict(one) for one in watch.findings]
            assert tuple(Check(**one) for one in last["checks"]) == watch.checks
            assert last["score"] == score(case, text, True, 9, "calibrated").as_dict()
    finally:
        child.close()
