"""The generation's screen: nothing is asked before a yes, figures, reasons, hostile text."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from haruon_tui.dataset.generation import live
from haruon_tui.jobs.store import State
from haruon_tui.screens.generate import GenerateScreen
from haruon_tui.workspace import Workspace
from tests.dataset.generation_server import GenerationServer
from tests.e2e.terminal import Terminal

KEY_NAME = "HARUON_TEST_KEY"


def configure(workspace: Workspace, url: str = "http://127.0.0.1:1/v1", count: int = 8) -> None:
    workspace.file.write_text(
        f'profile = "tiny"\n[generate]\nbase_url = "{url}"\nmodel = "gpt-4o-mini"\n'
        f'api_key_env = "{KEY_NAME}"\ncount = {count}\n',
        encoding="utf-8",
    )


async def opened(app, pilot, until):
    await until(pilot, lambda: app.session.ready)
    await pilot.press("2", "g")
    await until(pilot, lambda: isinstance(app.screen, GenerateScreen) and app.screen._plan)


async def test_without_a_server_the_screen_says_what_to_write(make_app, until, text_of, engine):
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(app, pilot, until)
        for words in ("[generate]", "base_url", "model", "api_key_env", "never the key"):
            await until(pilot, lambda words=words: words in text_of(app))
        assert "r starts it" not in text_of(app)
        await pilot.press("r")
        await pilot.press("escape")
        assert not isinstance(app.screen, GenerateScreen)
    assert ("submit", "generate") not in engine.asked


async def test_a_missing_key_is_named(make_app, until, text_of, workspace, monkeypatch):
    monkeypatch.delenv(KEY_NAME, raising=False)
    configure(workspace, "https://api.example.com/v1")
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(app, pilot, until)
        await until(pilot, lambda: f"variable {KEY_NAME} is not set" in text_of(app))


async def test_nothing_is_asked_before_a_yes_to_the_estimate(
    make_app, until, text_of, workspace, engine
):
    configure(workspace)
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(app, pilot, until)
        await until(pilot, lambda: "r starts it, and asks before it costs" in text_of(app))
        await pilot.press("r")
        await until(pilot, lambda: "Ask gpt-4o-mini for 8 examples?" in text_of(app))
        assert "USD" in text_of(app)
        await pilot.press("enter")  # the focus is on no
        await until(pilot, lambda: isinstance(app.screen, GenerateScreen))
        assert ("submit", "generate") not in engine.asked
        await pilot.press("r")
        await until(pilot, lambda: "Ask gpt-4o-mini" in text_of(app))
        await pilot.press("y")
        await until(pilot, lambda: ("submit", "generate") in engine.asked)


@pytest.mark.parametrize("size", [(80, 24), (200, 60)])
async def test_figures_reasons_and_the_latest_example_are_shown_as_plain_text(
    make_app, until, text_of, workspace, engine, size
):
    configure(workspace)
    run = engine.add("generate", State.RUNNING)
    (run.folder / "scratch").mkdir(parents=True)
    shown = live.Live(
        wanted=500,
        accepted=123,
        rejected=7,
        in_flight=4,
        requests=140,
        failures={"rate limit": 3},
        reasons={"quote-not-said": 5, "certainty": 2},
        input_tokens=1_234_567,
        output_tokens=76_543,
        currency="USD",
        cost=0.2311,
        lost_cost=0.0,
        latest={"id": "generated-1", "user": "1. \x1b[31m개방성", "report": "## [b]굵게[/b]\x07"},
    )
    live.write(run.folder / "scratch", shown)
    app = make_app()
    async with app.run_test(size=size) as pilot:
        await opened(app, pilot, until)
        await until(pilot, lambda: "123/500" in text_of(app))
        text = text_of(app)
        for words in ("USD 0.2311", "quote-not-said", "rate limit", "개방성", "[b]굵게[/b]"):
            assert words in text
        assert re.search(r"in flight\s+4", text)
        assert "\x1b" not in text
        assert "\x07" not in text


def test_a_generation_in_a_terminal_from_the_key_to_the_browser(tmp_path: Path) -> None:
    workspace = Workspace.init(tmp_path / "작업", "tiny")
    key = "sk-test-a1b2c3d4e5f60718"
    with GenerationServer(delay=0.02) as server:
        configure(workspace, server.url, count=6)
        state = os.environ["HARUON_STATE_DIR"]
        with Terminal(
            folder=workspace.folder, **{KEY_NAME: key, "HARUON_STATE_DIR": state}
        ) as tui:
            tui.until("2 Dataset")
            tui.press("2")
            tui.until("Generate")
            tui.press("g")
            tui.until("6 to ask for")
            tui.press("r")
            tui.until("Ask gpt-4o-mini for 6 examples?")
            tui.press("y")
            text = tui.until(lambda text: "6/6" in text and "Latest: " in text, 60)
            assert "종합 의견" in text or "개방성" in text
            assert key.encode() not in tui.raw
            tui.press("q")
        assert sum(server.answered.values()) == 6
    for path in workspace.folder.rglob("*"):
        if path.is_file():
            assert key.encode() not in path.read_bytes(), path
