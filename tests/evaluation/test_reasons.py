from haruon_tui.dataset import persona
from haruon_tui.evaluation.cases import Case
from haruon_tui.evaluation.reasons import badness, reasons
from haruon_tui.evaluation.scoring import CaseScore, score


def scored(case: Case, text: str, *, stopped: bool = True) -> CaseScore:
    return score(case, text, stopped, 120, "calibrated")


def test_the_worst_is_what_must_never_be_shown(case: Case, report: str) -> None:
    """Unsafe, incomplete, cut, a level far off, a level one step off, a good one."""
    found = [
        scored(case, f"{report} 당신은 우울증입니다."),
        scored(case, report.replace(persona.SUMMARY, "그리고")),
        scored(case, report, stopped=False),
        scored(case, report.replace(": 낮음", ": 매우 높음")),
        scored(case, report.replace(": 낮음", ": 다소 낮음")),
        scored(case, report),
    ]
    weights = [badness(one) for one in found]
    assert weights == sorted(weights, reverse=True)
    assert len(set(weights)) == len(weights)
    assert all(reasons(one) for one in found[:-1])


def test_reasons_say_what_is_wrong_in_words(case: Case, report: str) -> None:
    unsafe = reasons(scored(case, f"{report} 당신은 우울증입니다."))
    assert "우울증" in unsafe[0]
    cut = reasons(scored(case, report.replace(": 중간", ""), stopped=False))
    assert "did not stop: cut at 120 tokens" in cut
    assert "외향성 no level, expected 중간" in cut
    assert "no trait has a level" in reasons(scored(case, "ab"))


def test_the_level_furthest_off_comes_first(case: Case, report: str) -> None:
    text = report.replace(": 높음", ": 중간").replace(": 낮음", ": 매우 높음")
    wrong = [one for one in reasons(scored(case, text)) if "expected" in one]
    assert wrong == ["신경성 매우 높음, expected 낮음", "개방성 중간, expected 높음"]


def test_quotes_that_were_not_said_are_counted(case: Case, report: str) -> None:
    said = case.model_copy(update={"answers": dict.fromkeys(case.answers, "산책을 좋아해요")})
    text = report.replace("답변에서", "'산책'과 '우주 비행', '용의 둥지'에서", 1)
    found = scored(said, text)
    assert (found.quotes, found.ungrounded) == (3, 2)
    assert "2 quoted phrases were not said" in reasons(found)


def test_a_report_that_repeats_itself_says_so(case: Case, report: str) -> None:
    found = scored(case, report + " 나는 걷고 또 걷고 다시 걷습니다." * 40)
    assert found.repetition > 0.5
    assert any(one.startswith("repeats itself: ") for one in reasons(found))
