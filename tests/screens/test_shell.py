from __future__ import annotations

import subprocess
import sys
from collections import Counter

import pytest

from haruon_tui.jobs.store import State
from haruon_tui.screens import actions, themes
from haruon_tui.screens.desktop import notification
from haruon_tui.screens.help import help_text
from haruon_tui.screens.jobs import JobsScreen
from haruon_tui.screens.palette import ActionProvider
from haruon_tui.screens.widgets.key_line import fitting
from haruon_tui.screens.widgets.stage_bar import _widths
from haruon_tui.workspace import Workspace

SIZES = [(80, 24), (200, 60)]


@pytest.mark.parametrize("size", SIZES)
async def test_every_mode_opens_and_names_every_stage(make_app, engine, until, text_of, size):
    engine.add("train", State.FINISHED, result={"summary": "손실 0.7", "steps": 4})
    app = make_app()
    async with app.run_test(size=size, notifications=True) as pilot:
        await until(pilot, lambda: app.session.ready)
        for mode in actions.MODES:
            await pilot.press(mode.key)
            await until(pilot, lambda mode=mode: app.current_mode == mode.name)
            await pilot.pause()
            shown = text_of(app)
            assert all(f"{m.key} {m.title}" in shown for m in actions.MODES)
            assert "✓ done" in shown
            assert "profile tiny" in shown
            assert "Quit" in shown.splitlines()[-1]


def test_the_stage_bar_fits_80_columns():
    assert sum(_widths(80)) + len(actions.MODES) - 1 <= 80
    assert sum(_widths(200)) > sum(_widths(80))


def test_the_footer_leaves_out_first_what_has_nothing_to_act_on():
    keys = [("r", "r", "Run", True), ("s", "s", "Stop", False), ("x", "x", "실행", True)]
    keys += [("question_mark", "?", "Help", True), ("q", "q", "Quit", True)]
    shown = [[key for key, *_ in fitting(keys, room)] for room in (80, 39, 31, 23, 5)]
    assert shown == [
        ["r", "s", "x", "question_mark", "q"],
        ["r", "s", "x", "question_mark", "q"],
        ["r", "x", "question_mark", "q"],
        ["r", "question_mark", "q"],
        ["question_mark", "q"],
    ]


def test_no_key_means_two_things_on_one_screen():
    shared = ("everywhere", "job")
    for mode in actions.MODES:
        scopes = (*shared, mode.name) if mode.name == "jobs" else (*shared, "stage", mode.name)
        keys = Counter(action.key for action in actions.actions(*scopes))
        assert [key for key, count in keys.items() if count > 1] == []


def test_help_lists_every_key_of_the_table():
    lines = [" ".join(line.split()) for line in help_text().plain.splitlines()]
    for action in actions.ACTIONS:
        assert f"{action.key_name} {action.title}" in lines


async def test_every_action_of_the_table_exists(make_app):
    app = make_app()
    async with app.run_test(notifications=True) as pilot:
        for mode in actions.MODES:
            app.action_go(mode.name)
            await pilot.pause()
            own = ("job", "jobs") if mode.name == "jobs" else ("job", "stage", mode.name)
            for action in actions.actions(*own):
                assert hasattr(app.screen, f"action_{action.action.partition('(')[0]}"), action
        for action in actions.actions("everywhere"):
            assert hasattr(app, f"action_{action.action.partition('(')[0]}"), action


async def test_the_palette_offers_stages_modes_and_themes(make_app, until):
    app = make_app()
    async with app.run_test(notifications=True) as pilot:
        await until(pilot, lambda: app.session.ready)
        provider = ActionProvider(app.screen)
        names = " / ".join([hit.text or str(hit.display) async for hit in provider.discover()])
        for wanted in ("Run stage quantize", "Go to Chat", "Theme high-contrast", "Quit"):
            assert wanted in names


async def test_themes_change_with_t_and_all_are_offered(make_app):
    app = make_app()
    async with app.run_test(notifications=True) as pilot:
        seen = [app.theme]
        for _ in themes.NAMES:
            await pilot.press("t")
            seen.append(app.theme)
        assert seen == [*themes.NAMES, themes.NAMES[0]]


@pytest.mark.parametrize("theme", themes.THEMES, ids=lambda theme: theme.name)
def test_text_stands_out_from_every_background(theme):
    for ground in (theme.background, theme.surface, theme.panel):
        for ink in (theme.foreground, theme.error, theme.success, theme.warning):
            assert contrast(ground, ink) >= 4.5, (ground, ink)


def contrast(one: str, other: str) -> float:
    """Contrast ratio as WCAG 2 defines it."""

    def luminance(colour: str) -> float:
        channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


async def test_quitting_says_how_many_jobs_go_on(make_app, engine, until, capsys):
    app = make_app()
    async with app.run_test(notifications=True) as pilot:
        await until(pilot, lambda: app.session.ready)
        for stage in ("dataset", "model"):
            engine.push(engine.add(stage), engine.status(State.RUNNING))
        await until(pilot, lambda: len(app.session.running()) == 2)
        await pilot.press("q")
    assert "2 jobs go on in the background: haruon jobs list" in capsys.readouterr().err
    assert ("close", "") in engine.asked
    assert not [asked for asked in engine.asked if asked[0] == "stop"]


def test_a_notification_cannot_carry_control_sequences():
    text = notification("done\x07\x1b]0;title\x07\x1b[31m red\n", tmux=False)
    assert text == "\x1b]9;done red\x07"
    assert notification("done", tmux=True) == "\x1bPtmux;\x1b\x1b]9;done\x07\x1b\\"


async def test_the_end_of_a_job_rings_as_haruon_toml_says(make_app, engine, until, monkeypatch):
    app = make_app()
    rung = []
    monkeypatch.setattr(app, "bell", lambda: rung.append(1))
    async with app.run_test(notifications=True) as pilot:
        for notify, expected in ((True, 1), (False, 1)):
            engine.notify = notify
            app.session.refresh()
            await until(pilot, lambda notify=notify: app.session.overview.notify is notify)
            await until(pilot, lambda: app.session.ready)
            run = engine.add("dataset")
            engine.push(run, engine.status(State.RUNNING))
            engine.push(run, engine.status(State.FINISHED))
            await until(pilot, lambda run=run: run.id in app.session.histories)
            await until(pilot, lambda run=run: not app.session.histories[run.id].active)
            await pilot.pause()
            assert len(rung) == expected


async def test_an_old_job_does_not_ring(make_app, engine, until, monkeypatch):
    app = make_app()
    rung = []
    monkeypatch.setattr(app, "bell", lambda: rung.append(1))
    run = engine.add("dataset", State.FINISHED, result={"summary": "old"})
    async with app.run_test(notifications=True) as pilot:
        await until(pilot, lambda: app.session.ready)
        engine.push(run, engine.status(State.FINISHED), {"kind": "log", "text": "x"})
        await until(pilot, lambda: run.id in app.session.histories)
        await pilot.pause()
    assert rung == []


def test_the_screen_never_imports_what_belongs_in_a_child(tmp_path):
    Workspace.init(tmp_path / "ws", "tiny")
    program = f"""
import asyncio, sys
from pathlib import Path
from haruon_tui.app import HaruonApp
from haruon_tui.screens.actions import MODES
from haruon_tui.workspace import Workspace

assert "pydantic" not in sys.modules, "the first frame would wait for pydantic"

async def main():
    app = HaruonApp(Workspace.find(Path({str(tmp_path / "ws")!r})))
    async with app.run_test(notifications=True) as pilot:
        for mode in MODES:
            await pilot.press(mode.key)
        while not app.session.ready:
            await pilot.pause(0.01)
        app.exit()

asyncio.run(main())
heavy = ("torch", "transformers", "trl", "peft", "datasets", "llama_cpp", "pandas", "pyarrow")
print([name for name in heavy if name in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


async def test_the_jobs_screen_is_behind_9(make_app, until):
    app = make_app()
    async with app.run_test(notifications=True) as pilot:
        await pilot.press("9")
        await until(pilot, lambda: isinstance(app.screen, JobsScreen))
