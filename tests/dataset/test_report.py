"""Reading reports: what is complete, what is not, and that nothing breaks the reader."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from haruon_tui.dataset import persona, records
from haruon_tui.dataset.report import OPENING, PARTS, SUMMARY, TITLE, parse

GUIDE_REPORTS = [
    records.content(line.record, "assistant")
    for line in records.read(Path(__file__).parent / "guide_examples.jsonl")
    if isinstance(line, records.Line)
]
REPORT = GUIDE_REPORTS[0]


def test_the_guides_own_reports_are_complete() -> None:
    assert [parse(report).complete for report in GUIDE_REPORTS] == [True, True]
    assert parse(REPORT).levels == {
        "openness": "높음",
        "conscientiousness": "매우 높음",
        "extraversion": "낮음",
        "agreeableness": "높음",
        "neuroticism": "다소 높음",
    }


def test_a_remark_in_parentheses_is_kept_apart_from_the_level() -> None:
    extraversion = parse(REPORT).traits[2]
    assert (extraversion.level, extraversion.remark) == ("낮음", "내향성")


def test_bodies_and_summary_are_the_text_between_headings() -> None:
    report = parse(REPORT)
    assert report.summary.startswith("당신은 성실하고")
    assert report.summary.endswith("만들어줍니다.")
    assert report.traits[0].body.startswith("'새로운 레시피 배우기'에서")
    assert report.traits[0].body.endswith("뚜렷합니다.")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("### 개방성 (Openness): 높음", "### 개방성(Openness) : 높음"),
        ("### 개방성 (Openness): 높음", "##  **개방성 (Openness): 높음**  "),
        ("### 개방성 (Openness): 높음", "### 개방성 (Openness): 높음 (호기심)"),
        (
            "### 개방성 (Openness): 높음",
            "### 개방성\uff08Openness\uff09\uff1a높음\uff08호기심\uff09",
        ),
        ("### 성실성 (Conscientiousness): 매우 높음", "### 성실성: 매우  높음"),
        ("## 종합 의견", "# 종합의견:"),
        ("\n", "\r\n"),
    ],
)
def test_spacing_and_marks_may_vary(old: str, new: str) -> None:
    assert old in REPORT
    assert parse(REPORT.replace(old, new)).complete


@pytest.mark.parametrize("key", PARTS)
def test_without_one_part_a_report_is_not_complete_and_names_it(key: str) -> None:
    part = next(part for part in parse(REPORT).parts if part.key == key)
    report = parse(REPORT[: part.start] + REPORT[part.end :])
    assert not report.complete
    assert key in report.missing
    # The opening line only counts below its title.
    assert set(report.missing) == ({TITLE, OPENING} if key == TITLE else {key})


@pytest.mark.parametrize("key", [trait.key for trait in persona.TRAITS] + [SUMMARY])
def test_an_empty_body_is_not_complete(key: str) -> None:
    part = next(part for part in parse(REPORT).parts if part.key == key)
    report = parse(REPORT.replace(part.body, "…"))
    assert not report.complete
    assert report.missing == ()


def test_sections_out_of_order_or_twice_are_not_complete() -> None:
    first, second = parse(REPORT).traits[:2]
    section = REPORT[first.start : second.start]
    after = REPORT.replace("## 종합 의견", section + "## 종합 의견")
    assert not parse(after).complete
    assert not parse(after).in_order
    moved = after.replace(section, "", 1)
    assert parse(moved).missing == ()
    assert not parse(moved).in_order


@pytest.mark.parametrize("level", ["아주 높음", "높음 낮음", "", "높", "보통", "높음!"])
def test_a_level_that_is_not_on_the_scale_is_none(level: str) -> None:
    report = parse(REPORT.replace("(Openness): 높음", f"(Openness): {level}"))
    assert report.traits[0].level is None
    assert "openness" not in report.levels
    assert not report.complete


def test_a_trait_named_in_the_text_is_no_section() -> None:
    prose = "개방성 (Openness): 높음\n성실성은 높고 외향성은 낮습니다.\n종합 의견"
    assert parse(prose).parts == ()


@pytest.mark.parametrize(
    "rubbish",
    [
        "",
        "\n\n",
        "#",
        "###" * 50_000,
        "\x00\ud800",
        "### 개방성 (" * 99,
        "### 개방성" + " " * 100_000 + "x",
        "### 개방성: 높음 (" + " " * 100_000,
    ],
)
def test_of_rubbish_no_part_is_complete(rubbish: str) -> None:
    assert set(parse(rubbish).missing) >= set(PARTS) - {"openness"}
    assert parse(rubbish).levels == {}


_PIECES = [*REPORT.split("\n"), "#", ":", "(", ")", "*", "높음", "\n", "매우 "]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(_PIECES) | st.text(max_size=20), max_size=40), st.text(max_size=3))
def test_reading_never_raises_and_spans_hold_their_headings(pieces: list[str], glue: str) -> None:
    text = glue.join(pieces)
    report = parse(text)
    assert all(text[part.start : part.end] == part.heading for part in report.parts)
    assert not (report.complete and report.missing)
