from __future__ import annotations

import json
from pathlib import Path

import pytest
from textual.widgets import DataTable

from haruon_tui.dataset.persona import TRAITS
from haruon_tui.evaluation import figures, stage
from haruon_tui.evaluation.cases import Case
from haruon_tui.evaluation.generate import Generation
from haruon_tui.evaluation.scoring import score
from haruon_tui.jobs.events import EventWriter
from haruon_tui.jobs.store import JobFile, Run, State, _write
from haruon_tui.planning import StageState
from haruon_tui.screens.evaluation_texts import figure_rows, levels_text

REPORT = (
    "## Big5 심리 분석 리포트\n\n"
    + "".join(f"{trait.heading}: 높음\n설명입니다.\n\n" for trait in TRAITS)
    + "## 종합 의견\n\n끝 [b]굵게[/b] \x1b[31m빨강"
)
SIDES = ("left", "right")
TEXTS = {"base": "아무 말이나 이어집니다.", "tuned": REPORT}


def case(number: int) -> Case:
    return Case(
        id=f"case-{number}",
        group="held-out sentences" if number else "held-out combinations",
        answers={trait.key: "[i]답변[/i]" for trait in TRAITS},
        levels={trait.key: "높음" if number else "다소 높음" for trait in TRAITS},
    )


def evaluated(texts: dict[str, str]) -> tuple[dict, list[dict]]:
    """The result and the lines of two cases, by the stage's own scoring."""
    cases = [case(1), case(0)]
    made = {
        model: {
            one.id: Generation(
                case=one.id,
                text=text,
                prompt_tokens=9,
                tokens=40,
                stopped=model != "base",
                seconds=0.325,
            )
            for one in cases
        }
        for model, text in texts.items()
    }
    scores = {
        model: [
            (one, score(one, text, made[model][one.id].stopped, 40, "calibrated")) for one in cases
        ]
        for model, text in texts.items()
    }
    result = stage.Result(
        summary="evaluated",
        cases=2,
        models={name: stage.report(scored, made[name], 7) for name, scored in scores.items()},
    )
    lines = [
        stage.line(name, one, made[name][one.id], of)
        for name, scored in scores.items()
        for one, of in scored
    ]
    return result.model_dump(mode="json"), lines


def write_lines(run: Run, lines: list[dict]) -> None:
    run.artifacts.mkdir(parents=True)
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (run.artifacts / "generations.jsonl").write_text(text, "utf-8")
    (run.artifacts / "report.html").write_text("<p>all of it</p>", "utf-8")


@pytest.fixture
def evaluation(engine):
    """A finished evaluation of two cases, scored by the real scorer."""
    result, lines = evaluated(TEXTS)
    write_lines(engine.add("evaluate", State.FINISHED, result=result), lines)
    return result


def finished_run(runs: Path, number: int, texts: dict[str, str]) -> None:
    """An evaluation as the store knows it, an hour after the one before."""
    result, lines = evaluated(texts)
    run = Run(runs / f"20260101-00000{number}-evaluate-aa0{number}")
    run.folder.mkdir(parents=True)
    job = JobFile(
        id=run.id,
        stage="evaluate",
        created=1.7e9 + 3600 * number,
        params={"names": list(texts), "models": [str(runs / f"gone-{number}") for _ in texts]},
        inputs={},
        fingerprint="x",
        parent=None,
    )
    _write(run.folder, job)
    EventWriter(run.log, attempt=1).write("finished", result=result)
    write_lines(run, lines)


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
        await until(pilot, lambda: "all (2 cases)" in text_of(app))
        levels = next(line for line in text_of(app).splitlines() if "levels right" in line)
        assert levels.index("0.0%") < levels.index("50.0%  0.0% – 100.0%")


def test_the_figures_hold_every_measure_of_every_group(evaluation):
    rows = figure_rows(evaluation)
    titles = [title for title, *_ in rows]
    assert [title for title in titles if "cases)" in title] == [
        "all (2 cases)",
        "held-out sentences (1 cases)",
        "held-out combinations (1 cases)",
    ]
    for figure in figures.FIGURES:
        assert titles.count(f"  {figure.title}") == 3
    assert ("tokens per second", "123", "123") in rows
    right = [row[1:] for row in rows if row[0] == "  trait levels right"]
    assert right == [("0.0%", "50.0%  0.0% – 100.0%"), ("0.0%", "100.0%"), ("0.0%", "0.0%")]


def test_the_levels_say_what_was_found_for_what(evaluation):
    lines = levels_text("tuned", evaluation["models"]["tuned"]).plain.splitlines()
    assert "개방성 (Openness)  1/2 right" in lines
    rows = [line.split() for line in lines if line.startswith(("높음", "다소높음"))][:2]
    assert rows == [
        ["다소높음", "·", "·", "·", "·", "·", "1", "·", "·"],
        ["높음", "·", "·", "·", "·", "·", "1", "·", "·"],
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
        left, right = (app.screen.query_one(name).region for name in ("#left", "#right"))
        if size[0] >= 120:
            assert left.y == right.y
        else:
            assert left.x == right.x
        wrote = {side: str(app.screen.query_one(f"#{side}-text").render()) for side in SIDES}
        assert "끝 [b]굵게[/b] 빨강" in wrote["right"]
        assert "✗ 개방성 높음, expected 다소 높음\n  [i]답변[/i]" in wrote["right"]
        assert "✗ 개방성 no level, expected 다소 높음" in wrote["left"]


async def test_the_worst_report_comes_first_with_its_reason(make_app, evaluation, until, text_of):
    app = make_app()
    async with app.run_test(size=(200, 60)) as pilot:
        await opened(app, pilot, until)
        cases = app.screen.query_one("#cases", DataTable)
        await until(pilot, lambda: cases.row_count == 2)
        first, second = (list(map(str, cases.get_row_at(row))) for row in range(2))
        assert first == ["case-0", "✗ 0/5", "✗ 0/5", "missing: opening"]
        assert second[:3] == ["case-1", "✗ 0/5", "✗ 5/5"]


async def test_o_shows_another_model_of_many(make_app, engine, until, text_of):
    result, lines = evaluated({**TEXTS, "Q4_0": "짧은 글"})
    write_lines(engine.add("evaluate", State.FINISHED, result=result), lines)
    app = make_app()
    async with app.run_test(size=(200, 60)) as pilot:
        await opened(app, pilot, until)
        shown = {side: app.screen.query_one(f"#{side}-text") for side in SIDES}
        await until(pilot, lambda: "짧은 글" in str(shown["right"].render()))
        await pilot.press("o", "o")
        await until(pilot, lambda: "굵게" in str(shown["right"].render()))
        await pilot.press("O")
        await until(pilot, lambda: "굵게" in str(shown["left"].render()))
        assert shown["left"].region.area == 0  # the same model twice is shown once


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


async def test_the_history_compares_a_run_with_the_one_before(make_app, workspace, until, text_of):
    finished_run(workspace.runs, 1, {"base": "짧은 글", "tuned": "짧은 글"})
    finished_run(workspace.runs, 2, TEXTS)
    app = make_app()
    async with app.run_test(size=(200, 60)) as pilot:
        await opened(app, pilot, until)
        await pilot.press("v", "v")
        runs = app.screen.query_one("#runs", DataTable)
        await until(pilot, lambda: runs.row_count == 4)
        assert "stale" in text_of(app)
        await pilot.press("down")
        await until(pilot, lambda: "2 reports better, 0 worse" in text_of(app))
        assert "better: case-1: missing:" in text_of(app)
        await pilot.press("space", "down", "down")
        await until(pilot, lambda: "0 reports better, 2 worse" in text_of(app))
        await pilot.press("enter")
        await until(pilot, lambda: "aa01" in text_of(app) and "every section" in text_of(app))
        assert app.screen.query_one("#history").region.area == 0


async def test_e_evaluates_the_chosen_model(make_app, engine, evaluation, until, text_of):
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(app, pilot, until)
        await pilot.press("e")
        await until(pilot, lambda: "Q4_K_M: the GGUF" in text_of(app))
        await pilot.press(*"q4_k", "enter")
        await until(pilot, lambda: ("evaluate", "Q4_K_M") in engine.asked)


async def test_w_writes_the_report(make_app, evaluation, workspace, until):
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(app, pilot, until)
        await pilot.press("w")
        out = workspace.folder / "evaluation-aaaa.html"
        await until(pilot, out.exists)
        assert out.read_text() == "<p>all of it</p>"


async def test_a_stale_evaluation_says_what_to_do(make_app, engine, until, text_of):
    run = engine.add("evaluate", State.FINISHED, result={"summary": "of an earlier version"})
    del engine.results["evaluate"]
    engine.steps["evaluate"] = engine.step("evaluate", StageState.STALE, run)
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(app, pilot, until)
        await until(pilot, lambda: "The last evaluation is stale" in text_of(app))
