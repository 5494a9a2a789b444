from __future__ import annotations

import re

import pytest

from haruon_tui import artifacts
from haruon_tui.dataset import records
from haruon_tui.dataset.persona import LEVELS, TRAITS
from haruon_tui.jobs.store import State
from haruon_tui.screens.reading import read_page

ANSWERS = {trait.key: f"{trait.korean}에 대한 답변" for trait in TRAITS}


@pytest.fixture
def dataset(engine):
    """A finished dataset run of 450 examples."""
    run = engine.add("dataset", State.FINISHED, result={"summary": "450 to train on"})
    run.artifacts.mkdir(parents=True)
    made = [
        records.make(
            ANSWERS,
            f"## 리포트 {number} [b]굵게[/b] \x1b[31m빨강",
            id=f"made-{number:03}",
            source="composed",
            levels={"openness": "매우 높음"},
        )
        for number in range(1, 451)
    ]
    records.write(run.artifacts / "train.jsonl", made)
    artifacts.write_json(
        run.artifacts / "validation.json",
        {
            "train": 450,
            "eval": 20,
            "cases": 7,
            "left_out": 3,
            "warnings": 2,
            "sources": {"composed": 460, "file": 10},
            "rule_set": "calibrated",
            "findings": {"forbidden-expression": {"severity": "error", "count": 3}},
            "levels": {"openness": dict.fromkeys(LEVELS, 64)},
            "files": [{"path": "own.jsonl", "valid": 10, "invalid": 3, "used": 10}],
        },
    )
    return run


async def opened(app, pilot, until):
    await until(pilot, lambda: app.session.ready)
    await pilot.press("2")
    await until(pilot, lambda: app.current_mode == "dataset")


async def test_the_checks_show_counts_findings_and_levels(make_app, dataset, until, text_of):
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(app, pilot, until)
        await until(pilot, lambda: "470 valid, 3 left out, 2 warnings" in text_of(app))
        shown = text_of(app)
        assert "own.jsonl: 10 valid, 3 invalid" in shown
        assert "3  error  forbidden-expression" in shown
        line = next(line for line in shown.splitlines() if "개방성" in line)
        assert line.split().count("64") == len(LEVELS)


def _unmarked(text: str) -> str:
    """Without the numbers of findings, which come when the record has been checked."""
    return re.sub(r"\[\d+\]", "", text)


async def test_enter_browses_the_examples_that_were_built(make_app, dataset, until, text_of):
    app = make_app()
    async with app.run_test(size=(200, 60)) as pilot:
        await opened(app, pilot, until)
        await until(pilot, lambda: "470 valid" in text_of(app))
        await pilot.press("enter")
        await until(pilot, lambda: "450 lines" in text_of(app))
        await until(pilot, lambda: "## 리포트 1 [b]굵게[/b] 빨강" in _unmarked(text_of(app)))
        assert "신경성에 대한 답변" in text_of(app)
        await pilot.press("down")
        await until(pilot, lambda: "## 리포트 2 [b]굵게[/b] 빨강" in _unmarked(text_of(app)))
        await pilot.press("escape")
        await until(pilot, lambda: "470 valid" in text_of(app))


async def test_b_offers_the_files_of_the_workspace_and_any_path(
    make_app, dataset, workspace, until, text_of
):
    own = workspace.folder / "내 자료.jsonl"
    records.write(own, [{"messages": []}] * 3)
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(app, pilot, until)
        await until(pilot, lambda: "470 valid" in text_of(app))
        await pilot.press("b")
        await until(pilot, lambda: "내 자료.jsonl" in text_of(app))
        assert "train.jsonl" in text_of(app)
        assert "golden reports" in text_of(app)
        await pilot.press(*str(own.name), "enter")
        await until(pilot, lambda: "3 lines" in text_of(app))


async def test_a_missing_file_is_told_and_the_screen_lives(make_app, engine, until, text_of):
    engine.add("dataset", State.FINISHED, result={"summary": "made"})
    app = make_app()
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await opened(app, pilot, until)
        await until(pilot, lambda: "No such" in text_of(app))
        await pilot.press("enter")
        await until(pilot, lambda: "cannot be read" in text_of(app))
        await pilot.press("escape")
        await until(pilot, lambda: "No dataset yet" in text_of(app))


def test_a_page_knows_where_the_next_one_starts(tmp_path):
    file = tmp_path / "a.jsonl"
    file.write_text('{"n": 1}\n가\n{"n": 3}\n[4]\n', "utf-8")
    page = read_page(file, count=2)
    assert page.items == ({"n": 1}, None)
    assert page.next is not None
    after = read_page(file, page.next, 3, 2)
    assert after.items == ({"n": 3}, None)
    assert after.next is None
