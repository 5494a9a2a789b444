from __future__ import annotations

import json

import pytest
from textual.widgets import DataTable

from haruon_tui.dataset.persona import TRAITS
from haruon_tui.evaluation.cases import Case
from haruon_tui.evaluation.scoring import score
from haruon_tui.evaluation.stage import ModelReport, Result
from haruon_tui.evaluation.summary import summarise
from haruon_tui.jobs.store import State
from haruon_tui.screens.evaluate import figure_rows

REPORT = (
    "## Big5 심리 분석 리포트\n\n"
    + "".join(f"{trait.heading}: 높음\n설명입니다.\n\n" for trait in TRAITS)
    + "## 종합 의견\n\n끝 [b]굵게[/b] \x1b[31m빨강"
)
TEXTS = {"base": "아무 말이나 이어집니다.", "tuned": REPORT}


def case(number: int) -> Case:
    return Case(
        id=f"case-{number}",
        group="held-out sentences" if number else "held-out combinations",
        answers={trait.key: "답변" for trait in TRAITS},
        levels={trait.key: "높음" for trait in TRAITS},
    )


@pytest.fixture
def evaluation(engine):
    """A finished evaluation of two cases, scored by the real scorer."""
    cases = [case(0), case(1)]
    scored = {
        model: [(one, score(one, text, model == "tuned", 40, "calibrated")) for one in cases]
        for model, text in TEXTS.items()
    }
    reports = {
        model: ModelReport(groups=summarise(scores), tokens_per_second=123.4)
        for model, scores in scored.items()
    }
    result = Result(summary="evaluated", cases=2, models=reports).model_dump(mode="json")
    run = engine.add("evaluate", State.FINISHED, result=result)
    run.artifacts.mkdir(parents=True)
    lines = [
        {
            "model": model,
            "group": one.group,
            "case": one.id,
            "text": TEXTS[model],
            "tokens": 40,
            "stopped": model == "tuned",
            "score": of.as_dict(),
        }
        for model, scores in scored.items()
        for one, of in scores
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (run.artifacts / "generations.jsonl").write_text(text, "utf-8")
    return result


async def opened(app, pilot, until):
    await until(pilot, lambda: app.session.ready)
    await pilot.press("5")
    await until(pilot, lambda: app.current_mode == "evaluate")


async def test_before_an_evaluation_it_says_what_to_do(make_app, until, text_of):
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(app, pilot, until)
        await until(pilot, lambda: "No figures yet" in text_of(app))


async def test_base_and_tuned_stand_beside_each_other_per_group(
    make_app, evaluation, until, text_of
):
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(app, pilot, until)
        await until(pilot, lambda: "held-out combinations (1 cases)" in text_of(app))
        levels = next(line for line in text_of(app).splitlines() if "levels right" in line)
        assert levels.index("0/5") < levels.index("5/5")


def test_the_figures_hold_every_measure_of_every_group(evaluation):
    rows = figure_rows(evaluation)
    titles = [title for title, _, _ in rows]
    assert titles.count("  every section there") == 3
    assert titles.count("  mean length") == 3
    assert rows[-1] == ("tokens per second", "123", "123")
    right = [row for row in rows if row[0] == "  trait levels right"]
    assert [row[1:] for row in right] == [
        ("  0%  0/5", "100%  5/5"),
        ("  0%  0/5", "100%  5/5"),
        ("  0%  0/10", "100%  10/10"),
    ]


@pytest.mark.parametrize(("size", "keys"), [((80, 24), "v"), ((80, 50), "v"), ((200, 60), "")])
async def test_what_both_wrote_is_shown_as_plain_text(
    make_app, evaluation, until, text_of, size, keys
):
    app = make_app()
    async with app.run_test(size=size) as pilot:
        await opened(app, pilot, until)
        await pilot.press(*keys)
        await until(pilot, lambda: "아무 말이나 이어집니다." in text_of(app))
        await until(pilot, lambda: "## Big5 심리 분석 리포트" in text_of(app))
        base, tuned = (app.screen.query_one(name).region for name in ("#base", "#tuned"))
        if size[0] >= 120:
            assert base.y == tuned.y
        else:
            assert base.x == tuned.x
        wrote = {name: str(app.screen.query_one(f"#{name}-text").render()) for name in TEXTS}
        assert "끝 [b]굵게[/b] 빨강" in wrote["tuned"]
        assert "✓ 개방성 높음" in wrote["tuned"]
        assert "✗ 개방성 no level, expected 높음" in wrote["base"]


async def test_v_changes_the_view_where_there_is_little_room(make_app, evaluation, until, text_of):
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(app, pilot, until)
        cases = app.screen.query_one("#cases", DataTable)
        await until(pilot, lambda: cases.row_count == 2)
        assert "아무 말이나" not in text_of(app)
        await pilot.press("v")
        await until(pilot, lambda: "✗ 0/5" in text_of(app))
        assert "levels right" not in text_of(app)


async def test_merge_shows_what_it_made(make_app, engine, until, text_of):
    engine.add("merge", State.FINISHED, result={"summary": "merged 7.0 MB"})
    app = make_app()
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(app, pilot, until)
        await until(pilot, lambda: "merged: merged 7.0 MB" in text_of(app))
