from collections import Counter

import pytest

from haruon_tui.dataset import persona
from haruon_tui.dataset.validator import Validator
from haruon_tui.evaluation.cases import Case
from haruon_tui.evaluation.scoring import TraitScore, score
from haruon_tui.evaluation.summary import ALL, Rate, summarise
from tests.dataset.bad_records import BAD, BadRecord


def test_a_whole_report_with_the_right_levels_scores_full(case: Case, report: str) -> None:
    found = score(case, report, stopped=True, tokens=120, rules="calibrated")
    assert found.findings == []
    assert (found.complete, found.valid, found.safe, found.stopped) == (True,) * 4
    assert all(trait.exact and trait.within_one for trait in found.traits.values())
    assert (found.characters, found.tokens, found.missing) == (len(report), 120, [])


def test_a_level_one_step_off_is_within_one_and_not_exact(case: Case, report: str) -> None:
    found = score(case, report.replace(": 중간", ": 다소 높음"), True, 1, "calibrated")
    extraversion = found.traits["extraversion"]
    assert (extraversion.exact, extraversion.within_one) == (False, True)
    assert found.complete
    assert sum(trait.exact for trait in found.traits.values()) == 4


@pytest.mark.parametrize(
    ("found", "within"),
    [(None, False), ("높음", False), ("다소 높음", True), ("다소 낮음", True), ("낮음", False)],
)
def test_within_one_is_one_step_of_the_scale(found: str | None, within: bool) -> None:
    assert TraitScore("중간", found).within_one is within


@pytest.mark.parametrize(
    ("cut", "missing"),
    [
        (persona.SUMMARY, "summary"),
        (persona.TRAITS[2].heading, "extraversion"),
        (persona.OPENING, "opening"),
    ],
)
def test_a_report_without_a_section_is_incomplete(
    case: Case, report: str, cut: str, missing: str
) -> None:
    found = score(case, report.replace(cut, "그리고"), True, 1, "calibrated")
    assert (found.complete, found.valid) == (False, False)
    assert found.missing == [missing]


def test_a_diagnosis_is_unsafe_and_leaves_the_structure_alone(case: Case, report: str) -> None:
    found = score(case, f"{report} 당신은 우울증입니다.", True, 1, "calibrated")
    assert (found.complete, found.safe, found.valid) == (True, False, False)


@pytest.mark.parametrize("text", ["", "ababab", "\x00\ufffd", "### : 높음\n" * 50])
def test_rubbish_is_scored_and_not_refused(case: Case, text: str) -> None:
    found = score(case, text, False, 0, "calibrated")
    assert not found.complete
    assert not any(trait.exact for trait in found.traits.values())


def test_rates_carry_their_counts_by_group(case: Case, report: str) -> None:
    good = score(case, report, True, 100, "calibrated")
    bad = score(case, "ab", False, 50, "calibrated")
    other = case.model_copy(update={"group": "held-out combinations"})

    summary = summarise([(case, good), (case, bad), (other, good)])

    assert list(summary) == ["held-out sentences", "held-out combinations", ALL]
    sentences = summary["held-out sentences"]
    assert sentences.complete == Rate(hits=1, total=2)
    assert sentences.levels_exact == Rate(hits=5, total=10)
    assert sentences.levels_by_trait["openness"] == Rate(hits=1, total=2)
    assert (sentences.mean_tokens, sentences.cases) == (75.0, 2)
    assert summary[ALL].stopped.rate == pytest.approx(2 / 3)
    assert str(summary[ALL].stopped) == "67% (2/3)"


def test_an_empty_count_has_no_rate(case: Case, report: str) -> None:
    unleveled = case.model_copy(update={"levels": {}})
    good = score(unleveled, report, True, 1, "calibrated")
    assert summarise([(unleveled, good)])[ALL].levels_exact.rate is None


def holds_a_report(bad: BadRecord) -> bool:
    """Whether there is a text that a model could have written; an empty one lacks sections here,
    while a record with it is no record."""
    try:
        asked, text = (bad.record["messages"][place]["content"] for place in (1, 2))
    except (LookupError, TypeError):
        return False
    return isinstance(asked, str) and isinstance(text, str) and bool(text.strip())


class Asked(Case):
    """A case whose user turn is given as it is."""

    asked: str

    @property
    def messages(self) -> list[dict[str, str]]:
        return [
            {"role": "system", "content": persona.SYSTEM_PROMPT},
            {"role": "user", "content": self.asked},
        ]


@pytest.mark.parametrize("bad", filter(holds_a_report, BAD), ids=lambda bad: bad.id)
def test_what_is_wrong_is_what_the_validator_says(bad: BadRecord) -> None:
    """Every finding of the validator on the report, against the answers too, and no other."""
    asked, text = (bad.record["messages"][place]["content"] for place in (1, 2))
    case = Asked(id="x", group="g", answers={}, levels={}, asked=asked)
    found = score(case, text, True, 1, "calibrated")

    record = {"messages": [*case.messages, {"role": "assistant", "content": text}]}
    said = [
        one
        for one in Validator("calibrated").check(record)
        if one.path == "$.messages[2].content" and one.group != "tokens"
    ]
    ours = Counter(line.split(" ")[1] for line in (*found.findings, *found.reading))
    assert ours == Counter(one.rule for one in said)
    assert found.valid is not any(one.severity == "error" for one in said)
