"""The Export screen says what would be written, what is missing, and what lies there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from haruon_tui.jobs.store import State

SIZES = [(80, 24), (200, 60)]
MANIFEST = {
    "format": "haruon-app-1",
    "job": "20260101-000000-export-aaaa",
    "model": {
        "file": "model/haruon.Q4_0.gguf",
        "bytes": 935_000_000,
        "sha256": "ab" * 32,
        "architecture": "qwen2",
    },
    "context": 2048,
    "max_tokens": 800,
    "fits": {"cases": 40, "longest_prompt_tokens": 537},
    "stop": ["<|im_end|>"],
    "rules": {"name": "calibrated", "approximated": {"a": ""}, "left_out": {"b": "", "c": ""}},
    "proof": [{"name": "loads", "ok": True}],
    "files": {"README.md": {}},
    "evaluation": {
        "state": "evaluated",
        "models": {"조정됨": {"complete": {"mean": 0.975}, "safe": {"mean": 1.0}}},
    },
    "phone": {"state": "not compared yet", "do": "haruon gguf compare"},
}


@pytest.fixture
def ready_engine(engine):
    """Everything before the export is done, but for the evaluation."""
    for stage in ("dataset", "merge", "convert", "quantize"):
        run = engine.add(stage, State.FINISHED, result={"summary": "done"})
        run.artifacts.mkdir(parents=True)
    for stage, kind in (("convert", "F16"), ("quantize", "Q4_0")):
        path = engine.steps[stage].finished.artifacts / f"model.{kind}.gguf"
        path.write_bytes(b"GGUF" * 250_000)
    return engine


def exported(workspace) -> Path:
    folder = workspace.folder / "export" / "app"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text(json.dumps(MANIFEST), encoding="utf-8")
    return folder


async def opened(app, pilot, until, text_of, words):
    await until(pilot, lambda: app.session.ready)
    await pilot.press("8")
    await until(pilot, lambda: words in text_of(app), text_of(app))


@pytest.mark.parametrize("size", SIZES)
async def test_without_a_model_the_stage_to_run_is_named(make_app, until, text_of, size):
    app = make_app()
    async with app.run_test(size=size) as pilot:
        await opened(app, pilot, until, text_of, "there is no tuned model yet")
        assert "haruon pipeline --to quantize" in text_of(app)
        assert "Nothing here yet" not in text_of(app)


@pytest.mark.parametrize("size", SIZES)
async def test_a_type_is_chosen_and_exported(make_app, ready_engine, until, text_of, size):
    app = make_app()
    async with app.run_test(size=size) as pilot:
        await opened(app, pilot, until, text_of, "No file is chosen: o chooses one (Q4_0, F16)")
        assert "! not evaluated yet: run haruon evaluate" in text_of(app)
        await pilot.press("r")
        assert ready_engine.asked == []
        await pilot.press("o", "q", "4", "enter")
        await until(pilot, lambda: "r writes Q4_0 (1.0 MB)" in text_of(app))
        await pilot.press("r")
        await until(pilot, lambda: ("export", "Q4_0 None False") in ready_engine.asked)


@pytest.mark.parametrize("size", SIZES)
async def test_an_export_is_shown_and_replaced_only_after_a_yes(
    make_app, ready_engine, workspace, until, text_of, size
):
    exported(workspace)
    app = make_app()
    async with app.run_test(size=size) as pilot:
        await opened(app, pilot, until, text_of, "In the folder now")
        shown = text_of(app)
        assert "model/haruon.Q4_0.gguf, 935,000,000 bytes, qwen2" in shown
        assert "at most 537 tokens in 40 cases; 800 more fit the context of 2048" in shown
        await pilot.press("o", "f", "enter")
        await until(pilot, lambda: "r writes F16" in text_of(app))
        await pilot.press("r")
        await until(pilot, lambda: "Replace app?" in text_of(app))
        await pilot.press("n", "r")
        await until(pilot, lambda: "Replace app?" in text_of(app))
        assert ready_engine.asked == []
        await pilot.press("y")
        await until(pilot, lambda: ("export", "F16 None True") in ready_engine.asked)


async def test_another_place_can_be_named(make_app, ready_engine, workspace, until, text_of):
    app = make_app()
    async with app.run_test(size=(200, 60)) as pilot:
        await opened(app, pilot, until, text_of, "No file is chosen")
        await pilot.press("o", "f", "enter")
        await until(pilot, lambda: "r writes F16" in text_of(app))
        await pilot.press("w")
        await until(pilot, lambda: "The folder to write" in text_of(app))
        app.screen.query_one("#answer").value = "앱으로"
        await pilot.press("enter")
        await until(pilot, lambda: str(workspace.folder / "앱으로") in text_of(app))
        await pilot.press("r")
        wanted = ("export", f"F16 {workspace.folder / '앱으로'} False")
        await until(pilot, lambda: wanted in ready_engine.asked)


async def test_a_damaged_manifest_is_no_export(make_app, ready_engine, workspace, until, text_of):
    (exported(workspace) / "manifest.json").write_text("[]")
    app = make_app()
    async with app.run_test() as pilot:
        await opened(app, pilot, until, text_of, "No file is chosen")
        assert "In the folder now" not in text_of(app)


async def test_card_copy_and_push_are_a_key_away(make_app, ready_engine, until, text_of):
    app = make_app()
    async with app.run_test(size=(200, 60)) as pilot:
        await opened(app, pilot, until, text_of, "No file is chosen")
        await pilot.press("c")
        await until(pilot, lambda: ("card", "") in ready_engine.asked)
        await pilot.press("o", "f", "enter")
        await until(pilot, lambda: "r writes F16" in text_of(app))
        await pilot.press("y")
        await until(pilot, lambda: "rsync -a --partial" in text_of(app))
        assert "model.F16.gguf' | sha256sum -c -" in text_of(app)
        await pilot.press("escape", "p")
        await until(pilot, lambda: "Push to the Hub" in text_of(app))
        app.screen.query_one("#answer").value = "kim/haruon"
        await pilot.press("enter")
        await until(pilot, lambda: ("push", "kim/haruon") in ready_engine.asked)


async def test_without_a_model_nothing_is_handed_on(make_app, engine, until, text_of):
    app = make_app()
    async with app.run_test(size=(200, 60)) as pilot:
        await opened(app, pilot, until, text_of, "there is no tuned model yet")
        await pilot.press("c", "y", "p")
        assert engine.asked == []
        assert len(app.screen_stack) == 1
