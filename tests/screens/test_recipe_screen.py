"""The recipe form: nothing that is not allowed gets into haruon.toml, and every field says what it
does. The label view: what is learned and what is masked looks different."""

from __future__ import annotations

import pytest

from haruon_tui.screens.labels import LEARNED, MASKED, about_text, record_text
from haruon_tui.screens.pick import PickScreen
from haruon_tui.screens.recipe import RecipeScreen
from haruon_tui.training.label_view import LabelView


def go_to(app, name):
    from textual.widgets import OptionList

    names = [field.name for field in app.screen._fields]
    app.screen.query_one("#fields", OptionList).highlighted = names.index(name)


@pytest.mark.parametrize("size", [(80, 24), (200, 60)])
async def test_a_field_is_explained_changed_and_written_and_rubbish_is_refused(
    make_app, engine, until, text_of, size
):
    app = make_app()
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: app.session.ready)
        await pilot.press("4", "p")
        await until(pilot, lambda: isinstance(app.screen, RecipeScreen))
        go_to(app, "rank")
        await until(pilot, lambda: "whole number, at least 1, at most 1024" in text_of(app))
        assert "MiB" in text_of(app) or "GiB" in text_of(app)

        await pilot.press("enter", "home", "shift+end", "delete", "9", "9", "9", "9", "enter")
        await until(pilot, lambda: isinstance(app.screen, RecipeScreen))
        assert app.screen._draft == app.screen._saved

        await pilot.press("enter", "home", "shift+end", "delete", "3", "2", "enter")
        await until(pilot, lambda: isinstance(app.screen, RecipeScreen))
        await until(pilot, lambda: "1 changed" in text_of(app))
        await pilot.press("w")
        await until(pilot, lambda: [asked for asked in engine.asked if asked[0] == "set keys"])
    assert ("set keys", repr({"train.rank": 32})) in engine.asked


async def test_another_recipe_shows_its_own_values(make_app, until, text_of):
    app = make_app()
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: app.session.ready)
        await pilot.press("4", "p")
        await until(pilot, lambda: isinstance(app.screen, RecipeScreen))
        await pilot.press("enter", *"guide-lora", "enter")
        await until(pilot, lambda: isinstance(app.screen, RecipeScreen))
        draft = app.screen._draft
        assert (draft.recipe, draft.loss_on, draft.dropout) == ("guide-lora", "all", 0.1)
        await pilot.press("escape")
        await until(pilot, lambda: "Leave without writing?" in text_of(app))


@pytest.mark.parametrize("size", [(80, 24), (200, 60)])
async def test_several_processes_share_a_step_or_are_refused_and_their_command_is_shown(
    make_app, engine, until, text_of, monkeypatch, size
):
    copied: list[str] = []
    app = make_app()
    monkeypatch.setattr(app, "copy_to_clipboard", copied.append)

    async def set_field(name: str, value: str) -> None:
        go_to(app, name)
        await pilot.press("enter", "home", "shift+end", "delete", *value, "enter")
        await until(pilot, lambda: isinstance(app.screen, RecipeScreen))

    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: app.session.ready)
        await pilot.press("4", "p")
        await until(pilot, lambda: isinstance(app.screen, RecipeScreen))
        await pilot.press("y")
        assert copied == []
        await set_field("processes", "2")
        assert app.screen._draft.processes == 1, "a step of one batch cannot be shared"
        await set_field("accumulation", "2")
        await set_field("batch_size", "4")
        await set_field("processes", "2")
        await until(pilot, lambda: "in each of 2 processes" in text_of(app))
        await until(pilot, lambda: "8 = 2 processes x 4 at once x 1 times" in text_of(app))
        assert "--num_processes=2" in text_of(app).replace("\n", "")
        await pilot.press("y", "w")
        await until(pilot, lambda: [asked for asked in engine.asked if asked[0] == "set keys"])
    assert "-m haruon_tui.launching.rank" in copied[0]
    changes = {"train.accumulation": 2, "train.batch_size": 4, "train.processes": 2}
    assert ("set keys", repr(changes)) in engine.asked


async def test_the_form_offers_only_what_the_engine_has(make_app, until, text_of):
    app = make_app()
    async with app.run_test(size=(100, 50)) as pilot:
        await until(pilot, lambda: app.session.ready)
        await pilot.press("4", "p")
        await until(pilot, lambda: isinstance(app.screen, RecipeScreen))
        assert "processes" in text_of(app)
        assert "llamafactory_cli" not in text_of(app)
        go_to(app, "engine")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, PickScreen))
        await pilot.press("down", "enter")
        await until(pilot, lambda: "llamafactory_cli" in text_of(app))
        assert app.screen._draft.engine == "llamafactory"
        assert "processes" not in text_of(app)
        assert "engine: " in text_of(app), "it stays at the field that was changed"
        await pilot.press("z")
        await until(pilot, lambda: "processes" in text_of(app))


def test_learned_and_masked_text_differ_in_style_and_hostile_text_is_plain() -> None:
    view = LabelView(
        [("질문 [red]\x1b[2J", False), ("대답<|im_end|>", True)],
        9, 4, "<|im_end|>", 10, 2, (5, 7, 9), 8,
    )  # fmt: skip
    text = record_text(view)
    assert "\x1b" not in text.plain
    assert "[red]" in text.plain
    styles = {text.plain[span.start : span.end]: span.style for span in text.spans}
    assert styles["대답<|im_end|>"] == LEARNED
    assert MASKED in styles.values()
    assert "2 over max_length = 8: left out whole" in about_text(view, "leave out").plain
    assert "refuses to start" in about_text(view, "refuse").plain
