"""Models side by side on the screen, with real models in workers."""

# ruff: noqa: F811 - pytest finds fixtures by the names of parameters

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Any

import psutil
import pytest
from rich.text import Text
from textual.widgets import SelectionList

from haruon_tui import settings_file
from haruon_tui.chat import votes
from haruon_tui.jobs.store import State
from haruon_tui.screens.answer_column import answer_text
from haruon_tui.screens.chat_side_by_side import ChatSideBySideScreen
from haruon_tui.screens.choose_models import ChooseModelsScreen
from haruon_tui.screens.palette import ActionProvider
from tests.screens.conftest import engine, make_app, text_of, until, workspace  # noqa: F401

NAMES = ("secret-short", "secret-endless")


@pytest.fixture
def ready(engine: Any, workspace: Any, short_answer: Path, endless_answer: Path) -> None:
    """A run with a file that answers 한글, and one that answers abab…"""
    settings_file.set_keys(workspace.file, {"chat.context": 4096, "chat.max_tokens": 30})
    run = engine.add("quantize", State.FINISHED, result={"summary": "made"})
    run.artifacts.mkdir(parents=True)
    for name, file in zip(NAMES, (short_answer, endless_answer), strict=True):
        shutil.copy(file, run.artifacts / f"{name}.Q4_K_M.gguf")


@pytest.fixture
def opened(ready: None, until: Any) -> Any:
    """Opens the screen with both models."""

    async def open_both(app: Any, pilot: Any) -> ChatSideBySideScreen:
        await until(pilot, lambda: app.session.ready)
        await pilot.press("7")
        await until(pilot, lambda: app.current_mode == "chat")
        await until(pilot, lambda: app.screen.conversation.model)
        await pilot.press("ctrl+s")
        await until(pilot, lambda: isinstance(app.screen, ChooseModelsScreen))
        app.screen.query_one(SelectionList).select_all()
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, ChatSideBySideScreen))
        screen: ChatSideBySideScreen = app.screen
        await until(
            pilot, lambda: screen.compared and screen.focused and screen.focused.id == "prompt"
        )
        return screen

    return open_both


async def ask(pilot: Any, until: Any, screen: ChatSideBySideScreen, question: str) -> None:
    """Ask, and wait until both have answered."""
    assert screen.compared
    round_ = screen.compared.round
    await pilot.press("i", *question, "enter")
    await until(pilot, lambda: screen.compared.round != round_)
    await until(pilot, lambda: screen.compared.answered, "they did not answer")


def words(text_of: Any, app: Any) -> str:
    return " ".join(text_of(app).split())


@pytest.mark.parametrize("size", [(80, 24), (200, 60)])
async def test_two_files_answer_and_the_vote_is_kept_with_its_reason(
    make_app: Any, opened: Any, until: Any, text_of: Any, size: tuple[int, int]
) -> None:
    app = make_app()
    async with app.run_test(size=size, notifications=True) as pilot:
        screen = await opened(app, pilot)
        await until(pilot, lambda: "in turn: speed can be compared" in words(text_of, app))
        await ask(pilot, until, screen, "안녕")
        await until(pilot, lambda: "which is best? a b" in words(text_of, app))
        shown = words(text_of, app)
        for wanted in ("한글", "ababab", *NAMES, "differ from the start", "6 tokens"):
            assert wanted in shown
        assert "which is best? a b, or n for none" in shown
        await pilot.press("b")
        await until(pilot, lambda: "✓ B is best" in words(text_of, app), "not kept")
        folder = app.session.workspace.folder
        assert [vote["choice"] for vote in votes.read(folder)] == ["B"]
        await pilot.press(*"short", "enter")
        await until(pilot, lambda: "with its reason" in words(text_of, app), "no reason kept")
        (vote,) = votes.read(folder)
        assert (vote["reason"], vote["blind"], vote["mode"]) == ("short", False, "in turn")
        await pilot.press("f")
        await until(pilot, lambda: "1 of 1 secret-short" in words(text_of, app))
        assert "short" in words(text_of, app)


async def test_hidden_names_are_nowhere_before_the_vote(
    make_app: Any, opened: Any, until: Any, text_of: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    app = make_app()
    written: list[str] = []
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        screen = await opened(app, pilot)
        await pilot.press("escape", "h")
        await until(pilot, lambda: "names hidden till the vote" in words(text_of, app))
        caplog.clear()
        app._driver.write = written.append  # what a terminal would get, its title too
        for number in range(4):
            seen: list[str] = []

            def look(seen: list[str] = seen) -> bool:
                seen.append(text_of(app))
                seen.extend((app.title, app.sub_title, str(screen.title), str(screen.sub_title)))
                return screen.compared.answered and "which is best" in words(text_of, app)

            round_ = screen.compared.round
            await pilot.press("i", "?", "enter")
            await until(pilot, lambda r=round_: screen.compared.round != r)
            await until(pilot, lambda: "is best:" not in words(text_of, app))
            await until(pilot, look)
            await pilot.press("f")  # the votes name models: not now
            await pilot.press("question_mark")
            await pilot.pause()
            look()
            await pilot.press("escape")
            await until(pilot, lambda: app.screen is screen)
            hits = [hit.text or str(hit.display) async for hit in _palette(screen)]
            seen += [*hits, caplog.text, *written]
            kept = app.session.workspace.folder / votes.FILE
            seen.append(kept.read_text() if kept.exists() and number == 0 else "")
            everything = "\n".join(seen)
            assert "한글" in everything
            assert "ababab" in everything
            assert "secret" not in everything
            assert "tokens/s" not in everything, "its speed would tell which it is"
            await pilot.press("a")
            await until(pilot, lambda: "✓ A is best" in words(text_of, app), "not kept")
            assert all(name in text_of(app) for name in NAMES)
            await pilot.press("escape")
            written.clear()
        found = votes.read(app.session.workspace.folder)
        assert all(vote["blind"] for vote in found)
        assert len(found) == 4


async def _palette(screen: ChatSideBySideScreen) -> Any:
    async for hit in ActionProvider(screen).discover():
        yield hit


async def test_a_blind_vote_cannot_be_changed_once_the_names_are_shown(
    make_app: Any, opened: Any, until: Any, text_of: Any
) -> None:
    app = make_app()
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        screen = await opened(app, pilot)
        await pilot.press("escape", "h")
        await ask(pilot, until, screen, "?")
        await pilot.press("a")
        await until(pilot, lambda: "✓ A is best" in words(text_of, app))
        await pilot.press("escape", "b")
        await until(pilot, lambda: "You have voted" in words(text_of, app))
        assert [vote["choice"] for vote in votes.read(app.session.workspace.folder)] == ["A"]
        await ask(pilot, until, screen, "?")
        await pilot.press("x")
        await until(pilot, lambda: NAMES[0] in words(text_of, app))
        await pilot.press("a")
        await until(pilot, lambda: "✓ A is best" in words(text_of, app))
        assert [v["blind"] for v in votes.read(app.session.workspace.folder)] == [True, False]


async def test_a_program_that_only_watches_keeps_no_vote(
    make_app: Any, opened: Any, until: Any, text_of: Any
) -> None:
    app = make_app(read_only=True)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        screen = await opened(app, pilot)
        await ask(pilot, until, screen, "?")
        await pilot.press("a")
        await until(pilot, lambda: "only watches" in words(text_of, app))
        assert not (app.session.workspace.folder / votes.FILE).exists()


async def test_leaving_ends_both_workers_and_so_does_a_change_of_mode(
    make_app: Any, opened: Any, until: Any, text_of: Any
) -> None:
    def workers() -> set[psutil.Process]:
        found = psutil.Process().children()
        return {one for one in found if "haruon_tui.chat.worker" in " ".join(_line(one))}

    before = workers()
    app = make_app()
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        screen = await opened(app, pilot)
        await until(pilot, lambda: len(workers() - before) == 2)
        first = workers() - before
        await pilot.press("escape", "v")
        await until(pilot, lambda: "together: speed cannot be compared" in words(text_of, app))
        await until(pilot, lambda: len(workers() - before - first) == 2)
        assert not any(one.is_running() for one in first)
        await until(pilot, lambda: screen.compared)
        await ask(pilot, until, screen, "?")
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is not screen)
        await until(pilot, lambda: not workers() - before, "their memory is not freed")


def _line(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


async def test_a_path_that_is_no_model_is_told_and_one_that_is_joins_the_list(
    make_app: Any, ready: None, until: Any, text_of: Any, short_answer: Path
) -> None:
    app = make_app()
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await until(pilot, lambda: app.session.ready)
        await pilot.press("7")
        await until(pilot, lambda: app.current_mode == "chat")
        await pilot.press("ctrl+s")
        await until(pilot, lambda: isinstance(app.screen, ChooseModelsScreen))
        typed = app.screen.query_one("#typed")
        typed.value = "/nowhere/모델.gguf"
        await pilot.press("enter")
        await until(pilot, lambda: "/nowhere/모델.gguf" in words(text_of, app))
        typed.value = str(short_answer)
        await pilot.press("enter")
        await until(pilot, lambda: not typed.value)
        marked = app.screen.query_one(SelectionList).selected
        assert len(marked) == 2, "the chat's model and the one that was typed"
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, ChatSideBySideScreen))
        await until(pilot, lambda: short_answer.name in words(text_of, app))


def test_the_first_token_that_differs_is_reversed_and_what_follows_bold() -> None:
    text = answer_text(["그", "래", "요", "."], 2, writing=False)
    assert text.plain == "그래요."
    assert _styles(text) == {"요": "reverse", ".": "bold"}
    assert _styles(answer_text(["그", "래"], None, writing=True)) == {}
    shorter = answer_text(["그"], 1, writing=False)
    assert _styles(shorter) == {"(ends here)": "reverse"}
    assert "\x1b" not in answer_text(["\x1b[31m[red]"], None, writing=False).plain


def _styles(text: Text) -> dict[str, str]:
    return {text.plain[span.start : span.end]: str(span.style) for span in text.spans}
