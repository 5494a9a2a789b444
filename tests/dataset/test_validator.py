"""Records and files: every fault is found, named and placed, and nothing breaks the validator."""

from __future__ import annotations

import copy
import json
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from haruon_tui.dataset import golden, persona, records
from haruon_tui.dataset.file_validation import validate_file
from haruon_tui.dataset.report import parse
from haruon_tui.dataset.validator import Finding, Validator, is_valid

VALIDATOR = Validator()
GOLDEN = [line.record for line in records.read(golden.reports_file()) if hasattr(line, "record")]


@pytest.fixture
def record() -> dict[str, Any]:
    return copy.deepcopy(GOLDEN[0])


def places(findings: list[Finding]) -> list[tuple[str, str]]:
    return [(finding.rule, finding.path) for finding in findings]


def change_report(record: dict[str, Any], old: str, new: str) -> str:
    report = record["messages"][2]["content"]
    assert old in report
    record["messages"][2]["content"] = report.replace(old, new, 1)
    return record["messages"][2]["content"]  # type: ignore[no-any-return]


def test_a_good_record_has_no_findings(record: dict[str, Any]) -> None:
    assert VALIDATOR.check(record) == []
    del record["metadata"]
    assert VALIDATOR.check(record) == []


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        (None, [("record-shape", "$.messages")]),
        ([], [("role-order", "$.messages")]),
        (["x"], [("record-shape", "$.messages[0]"), ("role-order", "$.messages")]),
        (
            [{"role": "user"}],
            [("record-shape", "$.messages[0]"), ("role-order", "$.messages")],
        ),
    ],
)
def test_a_wrong_shape_is_placed(messages: object, expected: list[tuple[str, str]]) -> None:
    assert sorted(places(VALIDATOR.check({"messages": messages}))) == sorted(expected)


@pytest.mark.parametrize("value", [None, 3, "text", [], {}, {"conversations": []}])
def test_what_is_no_record_is_said_so(value: object) -> None:
    assert places(VALIDATOR.check(value)) == [("record-shape", "$")]


@pytest.mark.parametrize("order", [(1, 0, 2), (0, 2, 1), (1, 2), (0, 1), (0, 1, 2, 1, 2)])
def test_roles_must_be_system_user_assistant(
    record: dict[str, Any], order: tuple[int, ...]
) -> None:
    record["messages"] = [record["messages"][place] for place in order]
    assert ("role-order", "$.messages") in places(VALIDATOR.check(record))


@pytest.mark.parametrize("place", [0, 1, 2])
def test_empty_and_non_text_content_are_found_once(record: dict[str, Any], place: int) -> None:
    path = f"$.messages[{place}].content"
    record["messages"][place]["content"] = " \n"
    assert places(VALIDATOR.check(record)) == [("empty-content", path)]
    record["messages"][place]["content"] = ["text"]
    assert places(VALIDATOR.check(record)) == [("record-shape", path)]


def test_a_missing_section_is_named(record: dict[str, Any]) -> None:
    report = change_report(record, "### 우호성 (Agreeableness): 매우 높음\n", "")
    found = VALIDATOR.check(record)
    assert places(found) == [("missing-section", "$.messages[2].content")]
    assert "### 우호성 (Agreeableness)" in found[0].message
    assert places(VALIDATOR.check_report(report)) == [("missing-section", "$")]


def test_sections_out_of_order_are_placed(record: dict[str, Any]) -> None:
    change_report(record, "### 성실성 (Conscientiousness): 높음", "### @")
    change_report(
        record, "### 외향성 (Extraversion): 다소 낮음", "### 성실성 (Conscientiousness): 높음"
    )
    report = change_report(record, "### @", "### 외향성 (Extraversion): 다소 낮음")
    (found,) = VALIDATOR.check(record)
    assert (found.rule, found.severity) == ("section-order", "error")
    assert report[found.start : found.end] == "### 성실성 (Conscientiousness): 높음"


def test_a_part_that_comes_twice_is_an_error(record: dict[str, Any]) -> None:
    record["messages"][2]["content"] += "\n\n## 종합 의견\n\n다시 한번 적습니다."
    (found,) = VALIDATOR.check(record)
    assert (found.rule, found.text) == ("section-order", "## 종합 의견")
    assert "twice" in found.message


@pytest.mark.parametrize("heading", ["### 신경성 (Neuroticism): 다소 높음", "## 종합 의견"])
def test_a_heading_without_text_is_an_error(record: dict[str, Any], heading: str) -> None:
    report = record["messages"][2]["content"]
    body = next(part.body for part in parse(report).parts if part.heading == heading)
    change_report(record, body, "...")
    (found,) = VALIDATOR.check(record)
    assert (found.rule, found.severity, found.text) == ("empty-section", "error", heading)


@pytest.mark.parametrize("level", [": 아주 높음", ": 62점", ":", ""])
def test_a_level_off_the_scale_is_placed(record: dict[str, Any], level: str) -> None:
    report = change_report(record, "(Openness): 중간", f"(Openness){level}")
    (found,) = VALIDATOR.check(record)
    assert (found.rule, found.severity) == ("trait-level", "error")
    assert report[found.start : found.end] == f"### 개방성 (Openness){level}"


def test_an_odd_heading_or_a_greeting_is_a_warning(record: dict[str, Any]) -> None:
    change_report(record, "## 종합 의견", "# 종합의견")
    change_report(record, "## Big5", "안녕하세요!\n\n## Big5")
    found = VALIDATOR.check(record)
    assert sorted(finding.rule for finding in found) == ["heading-form", "preamble"]
    assert is_valid(found)
    assert found[0].text == "안녕하세요!"


@pytest.mark.parametrize(
    ("insert", "rule"),
    [
        ("<|im_end|>", "template-markup"),
        ("<|im_start|>assistant", "template-markup"),
        ("[/INST]", "template-markup"),
        ("{{ content }}", "template-markup"),
        ("{topic}", "template-markup"),
        ("\u200b", "control-character"),
        ("\x00", "control-character"),
        ("\r", "control-character"),
        ("\ufffd", "control-character"),
        (chr(0xD83D), "control-character"),
        (unicodedata.normalize("NFD", "마음"), "not-nfc"),
    ],
)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_what_must_not_be_learned_is_found_in_every_message(
    record: dict[str, Any], place: int, insert: str, rule: str
) -> None:
    text = record["messages"][place]["content"]
    record["messages"][place]["content"] = text.replace("요", f"요 끝{insert}말 ", 1)
    found = VALIDATOR.check(record)
    assert {finding.rule for finding in found} == {rule}
    assert {finding.path for finding in found} == {f"$.messages[{place}].content"}
    text = record["messages"][place]["content"]
    assert all(text[finding.start : finding.end] in f"끝{insert}말" for finding in found)


def test_an_emoji_family_and_line_breaks_are_no_control_characters(
    record: dict[str, Any],
) -> None:
    record["messages"][2]["content"] += "\n\t👨‍👩‍👧‍👦 ❤️‍🔥"
    assert VALIDATOR.check(record) == []


@pytest.mark.parametrize(
    ("levels", "words"),
    [
        ({"openness": "높음"}, "the report says 중간"),
        ({"openness": "최고"}, "not on the scale"),
        ({"honesty": "높음"}, "no trait 'honesty'"),
        ([], "not an object"),
    ],
)
def test_metadata_must_agree_with_the_report(
    record: dict[str, Any], levels: object, words: str
) -> None:
    record["metadata"]["levels"] = levels
    (found,) = VALIDATOR.check(record)
    assert found.rule == "metadata"
    assert words in found.message


def test_rubbish_gives_a_bounded_number_of_findings(record: dict[str, Any]) -> None:
    record["messages"][2]["content"] = "확실합니다 \x00 우울증입니다 <|im_end|> " * 5000
    assert len(VALIDATOR.check(record)) < 150


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["messages", "role", "content", "metadata", "levels", "id"]), inner
        )
    ),
    max_leaves=25,
)


@settings(max_examples=200, deadline=None)
@given(_JSON)
def test_no_json_value_breaks_the_validator(value: object) -> None:
    findings = VALIDATOR.check(value)
    assert findings
    json.dumps([finding.message for finding in findings])


@pytest.fixture
def mixed_file(tmp_path: Path) -> Path:
    judging = copy.deepcopy(GOLDEN[1])
    judging["messages"][2]["content"] += " 당신은 우울증입니다."
    mentioning = copy.deepcopy(GOLDEN[2])
    mentioning["messages"][2]["content"] += " 이것은 진단이 아닙니다."
    lines = [
        json.dumps(GOLDEN[0], ensure_ascii=False),
        "{broken",
        json.dumps(judging, ensure_ascii=False),
        "",
        json.dumps(mentioning, ensure_ascii=False),
    ]
    path = tmp_path / "mixed.jsonl"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_a_file_is_summed_up_with_line_numbers(mixed_file: Path) -> None:
    valid: list[int] = []
    summary = validate_file(mixed_file, on_valid=lambda line: valid.append(line.number))
    assert (summary.records, summary.valid, summary.unreadable, summary.invalid) == (3, 2, 1, 2)
    assert not summary.ok
    assert valid == [1, 5]
    assert [(found.line, found.finding.rule, found.id) for found in summary.findings] == [
        (2, "unreadable-line", None),
        (3, "stated-diagnosis", "golden-002"),
        (5, "clinical-mention", "golden-003"),
    ]
    assert summary.rules == {
        "unreadable-line": 1,
        "stated-diagnosis": 1,
        "clinical-mention": 1,
    }
    assert summary.levels["openness"] == {
        **dict.fromkeys(persona.LEVELS, 0),
        "중간": 1,
        "다소 높음": 1,
        "매우 높음": 1,
    }
    assert json.loads(json.dumps(summary.as_dict()))["findings"][1]["line"] == 3


def test_findings_beyond_the_limit_are_counted_not_kept(mixed_file: Path) -> None:
    summary = validate_file(mixed_file, keep=1)
    assert len(summary.findings) == 1
    assert summary.findings_left_out == 2
    assert sum(summary.rules.values()) == 3


def test_an_empty_file_is_not_ok(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_text("\n\n", encoding="utf-8")
    assert not validate_file(tmp_path / "empty.jsonl").ok
    assert validate_file(golden.reports_file()).ok
