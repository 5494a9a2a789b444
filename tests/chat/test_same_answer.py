"""One question, one seed, one answer: in the pane, side by side and on the command line."""

# ruff: noqa: F811 - pytest finds fixtures by the names of parameters

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from textual.widgets import SelectionList

from haruon_tui import settings_file
from haruon_tui.chat.client import ChatClient
from haruon_tui.chat.protocol import Done, Event, Token
from haruon_tui.jobs.store import State
from haruon_tui.screens.chat_side_by_side import ChatSideBySideScreen
from haruon_tui.screens.choose_models import ChooseModelsScreen
from tests.screens.conftest import engine, make_app, text_of, until, workspace  # noqa: F401

QUESTION = "who"


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> dict[ChatClient, list[Event]]:
    """What every client of this process hears."""
    found: dict[ChatClient, list[Event]] = defaultdict(list)
    hand_on = ChatClient._hand_on

    def hear(client: ChatClient, event: Event) -> None:
        found[client].append(event)
        hand_on(client, event)

    monkeypatch.setattr(ChatClient, "_hand_on", hear)
    return found


def answers(heard: dict[ChatClient, list[Event]]) -> list[str]:
    """The answers of the clients that have ended one."""
    return [
        "".join(event.text for event in events if isinstance(event, Token))
        for events in heard.values()
        if any(isinstance(event, Done) for event in events)
    ]


def on_the_command_line(model: Path, folder: Path) -> str:
    command = ["chat", str(model), "--prompt", QUESTION, "--json", "-C", str(folder)]
    done = subprocess.run(
        [sys.executable, "-m", "haruon_tui", *command], capture_output=True, check=True, timeout=60
    )
    text: str = json.loads(done.stdout)["text"]
    return text


async def test_a_greedy_answer_is_the_same_in_the_pane_side_by_side_and_on_the_command_line(
    make_app: Any,
    engine: Any,
    workspace: Any,
    until: Any,
    text_of: Any,
    heard: dict[ChatClient, list[Event]],
    random_words: Path,
) -> None:
    settings_file.set_keys(workspace.file, {"chat.context": 4096, "chat.max_tokens": 30})
    run = engine.add("quantize", State.FINISHED, result={"summary": "made"})
    run.artifacts.mkdir(parents=True)
    for name in ("one", "two"):
        shutil.copy(random_words, run.artifacts / f"{name}.Q4_K_M.gguf")
    app = make_app()
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await until(pilot, lambda: app.session.ready)
        await pilot.press("7")
        await until(pilot, lambda: "Q4_K_M" in text_of(app))
        await pilot.press("i", *QUESTION, "enter")
        await until(pilot, lambda: len(answers(heard)) == 1, "the pane did not answer")
        await pilot.press("ctrl+s")
        await until(pilot, lambda: isinstance(app.screen, ChooseModelsScreen))
        app.screen.query_one(SelectionList).select_all()
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, ChatSideBySideScreen))
        await until(pilot, lambda: app.screen.compared)
        await pilot.press("i", *QUESTION, "enter")
        await until(pilot, lambda: len(answers(heard)) == 3, "they did not answer side by side")
        assert not app.screen.compared.differences()
    said = on_the_command_line(run.artifacts / "one.Q4_K_M.gguf", workspace.folder)
    assert len(said) > 10
    assert answers(heard) == [said] * 3
