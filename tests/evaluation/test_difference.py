from typing import Any

from haruon_tui.evaluation.difference import compare


def line(case: str, badness: float = 0.0, *reasons: str, **values: float) -> dict[str, Any]:
    return {"case": case, "badness": badness, "reasons": list(reasons), "values": values}


def test_a_clear_rise_is_better_or_worse_by_what_is_wanted() -> None:
    before = [line(f"c{n}", levels_exact=0.25, repetition=0.1, tokens=100) for n in range(9)]
    after = [line(f"c{n}", levels_exact=0.75, repetition=0.4, tokens=150) for n in range(9)]
    found = {change.key: change for change in compare(before, after, seed=7).figures}
    assert found["levels_exact"].verdict == "better"
    assert (found["levels_exact"].before, found["levels_exact"].after) == (0.25, 0.75)
    assert found["repetition"].verdict == "worse"
    assert found["tokens"].verdict == "changed"


def test_what_could_be_chance_is_not_called_better() -> None:
    before = [line(f"c{n}", safe=float(n > 1)) for n in range(10)]
    after = [line(f"c{n}", safe=float(n > 0)) for n in range(10)]
    change = compare(before, after, seed=7).figures[0]
    assert change.low <= 0 < change.high
    assert change.verdict == "no clear difference"
    assert compare(before, before, seed=7).figures[0].verdict == "same"


def test_cases_are_paired_by_their_id_and_the_worst_change_comes_first() -> None:
    before = [line("a", 5, "cut"), line("b", 0), line("c", 0), line("gone", 9)]
    after = [line("new", 0), line("c", 300, "missing"), line("b", 10, "rude"), line("a", 0)]
    found = compare(before, after, seed=7)
    assert (found.cases, found.only_before, found.only_after) == (3, 1, 1)
    assert [(one.case, one.gone) for one in found.better] == [("a", ("cut",))]
    assert [(one.case, one.come) for one in found.worse] == [("c", ("missing",)), ("b", ("rude",))]
    assert found.summary.endswith("1 reports better, 2 worse")


def test_evaluations_of_other_cases_are_not_compared() -> None:
    found = compare([line("a", safe=1.0)], [line("b", safe=0.0)], seed=7)
    assert (found.cases, found.figures) == (0, [])
    assert found.summary == "no case in common: nothing to compare"
