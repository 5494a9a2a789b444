"""Report mode on the screen, with a real model in a worker and the real checks in another."""

# ruff: noqa: F811 - pytest finds fixtures by the names of parameters

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from haruon_tui import settings_file
from haruon_tui.dataset import golden, records
from haruon_tui.jobs.store import State
from haruon_tui.screens.report_mode import ReportModeScreen
from tests.screens.conftest import engine, make_app, text_of, until, workspace  # noqa: F401

CASES = 2


@pytest.fixture
def ready(engine: Any, workspace: Any, short_answer: Path) -> None:
    """Two cases of the set, and a file that answers 한글 to everything, a byte a token."""
    settings_file.set_keys(workspace.file, {"chat.context": 8192})
    dataset = engine.add("dataset", State.FINISHED, result={"summary": "made"})
    dataset.artifacts.mkdir(parents=True)
    cases = golden.load_cases(golden.cases_file())[:CASES]
    records.write(dataset.artifacts / "cases.jsonl", cases)
    quantize = engine.add("quantize", State.FINISHED, result={"summary": "made"})
    quantize.artifacts.mkdir(parents=True)
    shutil.copy(short_answer, quantize.artifacts / "model.Q4_K_M.gguf")


def words(text_of: Any, app: Any) -> str:
    return " ".join(text_of(app).split())


@pytest.mark.parametrize("size", [(80, 24), (200, 60)])
async def test_a_case_is_written_checked_judged_and_counted_and_there_again_afterwards(
    make_app: Any,
    ready: None,
    until: Any,
    text_of: Any,
    size: tuple[int, int],
) -> None:
    app = make_app()
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: app.session.ready)
        await pilot.press("7")
        await until(pilot, lambda: "Q4_K_M" in text_of(app))
        await pilot.press("ctrl+r")
        await until(pilot, lambda: isinstance(app.screen, ReportModeScreen))
        await until(pilot, lambda: app.screen.prepared is not None, "it did not get ready")
        await pilot.press("n")
        await until(pilot, lambda: "한글" in app.screen.text, "nothing was written")
        await until(pilot, lambda: "report saved" in words(text_of, app), "it was not saved")
        report, written = (app.screen.query_one(id) for id in ("#report", "#text"))
        await until(pilot, lambda: written.region.y == report.region.y, "it does not begin on top")
        assert "한글" in text_of(app)
        assert "case 1/2" in words(text_of, app)
        states = {check["name"]: check["state"] for check in app.screen.checks}
        assert "failed" in states.values(), "a report of one word is no report"
        assert "waiting" not in states.values(), "at the end every check is decided"
        await pilot.press("x")
        await until(pilot, lambda: "verdict: ✗ bad" in words(text_of, app))
        await pilot.press("f")
        await until(pilot, lambda: "1 of 2 cases written" in words(text_of, app))
        assert "✗ 1 bad" in words(text_of, app)
        await pilot.press("escape", "escape")
        await until(pilot, lambda: not isinstance(app.screen, ReportModeScreen))
        await pilot.press("ctrl+r")
        await until(pilot, lambda: "1 written before" in words(text_of, app))
