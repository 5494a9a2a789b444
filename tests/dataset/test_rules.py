"""What may and may not be said: the calibrated rules mean what the guide's letter misses."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from haruon_tui.dataset import checks, korean, records, rules
from haruon_tui.dataset.validator import Finding, Validator
from haruon_tui.errors import ConfigurationError

GUIDE = [
    line.record
    for line in records.read(Path(__file__).parent / "guide_examples.jsonl")
    if isinstance(line, records.Line)
]
CALIBRATED = Validator("calibrated")


def safety(sentence: str) -> list[Finding]:
    return [found for found in CALIBRATED.check_report(sentence) if found.group == "safety"]


def errors(sentence: str) -> list[tuple[str, str]]:
    return [(found.rule, found.text) for found in safety(sentence) if found.severity == "error"]


@pytest.mark.parametrize("example", GUIDE)
def test_the_guides_examples_pass_the_calibrated_rules_and_fail_the_literal_ones(
    example: records.Record,
) -> None:
    assert CALIBRATED.check(example) == []
    report = records.content(example, "assistant")
    found = Validator("guide").check(example)
    assert {(finding.rule, finding.text) for finding in found} == {
        ("forbidden-substring", "입니다")
    }
    assert len(found) == report.count("입니다") == 6
    for finding in found:  # it shows the harmless word that the letter of the rule catches
        word = finding.message.split("in '")[1].rstrip("'")
        assert word in report[: finding.end].split()[-1] + report[finding.end :]
        assert word.endswith("입니다")


@pytest.mark.parametrize(
    "sentence",
    [
        "새로운 경험에 개방적인 성향을 보입니다.",
        "조용히 쉬는 편입니다.",
        "당신은 '학습자' 유형입니다.",
        "책임감이 강한 성격입니다.",
        "태도가 긍정적입니다.",
        "창가의 꽃병입니다.",
        "취향이 분명한 편이고 확실한 마무리를 좋아하십니다.",
        "앞일은 불분명하며 불확실합니다.",
        "답은 확실하지 않습니다.",
        "문제가 있을 때 차분해지십니다.",
        "문제가 있다고 느끼면 바로 움직이십니다.",
        "'저는 그게 확실합니다'라는 말에서 힘이 느껴집니다.",
        "'불면증이 있어서' 힘들었다고 하셨습니다.",
        "건조증이 있는 계절입니다.",
    ],
)
def test_what_describes_is_fine(sentence: str) -> None:
    assert safety(sentence) == []


@pytest.mark.parametrize(
    ("sentence", "rule", "text"),
    [
        ("당신은 우울증입니다.", "stated-diagnosis", "우울증입니다"),
        ("당신은 우울증 입니다.", "stated-diagnosis", "우울증 입니다"),
        ("당신은 '우울증'입니다.", "stated-diagnosis", "우울증'입니다"),
        ("당신은 **우울증**이에요.", "stated-diagnosis", "우울증**이에요"),
        ("결과는 공황 장애이시네요.", "stated-diagnosis", "공황 장애이시네요"),
        ("당신은 ADHD예요.", "stated-diagnosis", "ADHD예요"),
        ("성격장애인 당신", "stated-diagnosis", "성격장애인"),
        ("우울증일 수 있습니다.", "stated-diagnosis", "우울증일"),
        ("당신의 반응은 비정상입니다.", "stated-diagnosis", "비정상입니다"),
        ("당신은 중독자이십니다.", "stated-diagnosis", "중독자이십니다"),
        ("😀 당신은 우울증입니다😀", "stated-diagnosis", "우울증입니다"),
        ("우울증이 있습니다.", "implied-diagnosis", "우울증이 있습니다"),
        ("우울증으로 보입니다.", "implied-diagnosis", "우울증으로 보입니다"),
        ("강박증 성향이 있습니다.", "implied-diagnosis", "강박증 성향이"),
        ("공황장애로 진단됩니다.", "diagnosing", "진단됩니다"),
        ("그렇게 진단할 수 있습니다.", "diagnosing", "진단할"),
        ("외향적인 것이 확실합니다.", "certainty", "확실합니다"),
        ("그 점은 분명하며 변하지 않는다.", "certainty", "분명하며"),
        ("틀림없어요.", "certainty", "틀림없어요"),
        ("분명히 외향적인 분으로 보입니다.", "certainty-word", "분명히"),
        ("의심의 여지가 없습니다.", "certainty-word", "의심의 여지가 없습니다"),
        ("성격에 문제가 있습니다.", "verdict", "문제가 있습니다"),
        ("지금은 정상이 아닙니다.", "verdict", "정상이 아닙니다"),
        ("약물 치료를 권합니다.", "treatment", "치료를 권합니다"),
    ],
)
def test_what_judges_is_an_error_at_its_place(sentence: str, rule: str, text: str) -> None:
    assert (rule, text) in errors(sentence)
    found = next(finding for finding in safety(sentence) if finding.rule == rule)
    assert sentence[found.start : found.end] == text


@pytest.mark.parametrize(
    "sentence",
    [
        "우울증이라고 볼 수는 없습니다.",
        "이 리포트는 의학적 진단이 아닙니다.",
        "전문가의 진단을 대신하지 않습니다.",
        "친구의 우울증을 곁에서 지켜보았습니다.",
    ],
)
def test_a_denied_or_distant_clinical_term_is_only_a_warning(sentence: str) -> None:
    assert [(f.rule, f.severity) for f in safety(sentence)] == [("clinical-mention", "warning")]


def test_every_rule_says_what_why_and_what_to_do() -> None:
    for name in rules.NAMES:
        rule_set = rules.load(name)
        assert rule_set.name == name
        assert rule_set.rules
        for rule in rule_set.rules:
            assert all((rule.what, rule.why, rule.suggestion)), rule.id
        checks.require_known(rule_set)


def _written(tmp_path: Path, **rule: object) -> Path:
    whole = {
        "id": "own",
        "group": "safety",
        "severity": "error",
        "check": "pattern",
        "what": "w",
        "why": "y",
        "suggestion": "s",
        **rule,
    }
    path = tmp_path / "own.json"
    path.write_text(
        json.dumps({"name": "own", "about": "", "lists": {"a": ["가", "나"]}, "rules": [whole]}),
        encoding="utf-8",
    )
    return path


def test_a_rule_set_of_ones_own_works_without_code(tmp_path: Path) -> None:
    own = Validator(rules.load_file(_written(tmp_path, pattern="<a>다")))
    assert [found.text for found in own.check_report("가다 나다 다다")] == ["가다", "나다"]


@pytest.mark.parametrize(
    "rule",
    [{"pattern": "("}, {"severity": "fatal"}, {"values": ["@none"]}, {"extra": 1}, {"check": "x"}],
)
def test_a_wrong_rule_set_is_refused_with_a_reason(
    tmp_path: Path, rule: dict[str, object]
) -> None:
    with pytest.raises(ConfigurationError):
        Validator(rules.load_file(_written(tmp_path, **rule)))


def test_an_unknown_rule_set_names_the_known_ones() -> None:
    with pytest.raises(ConfigurationError, match="strict") as error:
        Validator("strict")
    assert error.value.expected == "calibrated or guide"


def test_each_word_is_analysed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    kiwi = korean._kiwi()

    class Counting:
        def tokenize(self, text: str) -> object:
            asked.append(text)
            return kiwi.tokenize(text)

    monkeypatch.setattr(korean, "_kiwi", Counting)
    sentence = "그는 괴혈병 환자입니다. 그는 괴혈병 환자입니다. 또 환자입니다."
    before = korean._analyse.cache_info().misses
    assert len(errors(sentence)) == 3
    assert len(errors(sentence)) == 3
    assert len(asked) == len(set(asked)) == korean._analyse.cache_info().misses - before


def test_a_text_without_suspicious_words_never_loads_the_analyser() -> None:
    code = (
        "import sys; from haruon_tui.dataset.validator import Validator;"
        "Validator().check_report('새로운 경험에 열린 성향을 보입니다.');"
        "print('kiwipiepy' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "False"
