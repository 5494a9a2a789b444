"""The recipe form: nothing that is not allowed gets into haruon.toml, and every field says what it
does. The label view: what is learned and what is masked looks different."""

from __future__ import annotations

import pytest

from haruon_tui.screens.labels import LEARNED, MASKED, about_text, record_text
from haruon_tui.screens.recipe import RecipeScreen
from haruon_tui.settings import TrainSettings
from haruon_tui.training.label_view import LabelView


def go_to(app, name):
    from textual.widgets import OptionList

    app.screen.query_one("#fields", OptionList).highlighted = list(
        TrainSettings.model_fields
    ).index(name)


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
