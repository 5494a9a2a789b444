"""The screen with advice: empty, and with a change that one key makes."""

from __future__ import annotations

from ast import literal_eval

import pytest

from haruon_tui.advice import evidence
from haruon_tui.advice.evidence import Evidence, Report
from haruon_tui.screens.advice import AdviceScreen
from haruon_tui.settings import default_settings

CUT = Evidence(
    settings=default_settings("tiny"),
    reports=tuple(Report(f"사례-{at} [b]굵게\x1b[31m", 400, False, True, ()) for at in range(3)),
    longest=400,
)


@pytest.mark.parametrize("size", [(80, 24), (200, 60)])
async def test_one_key_makes_the_change(make_app, engine, until, text_of, monkeypatch, size):
    monkeypatch.setattr(evidence, "gather", lambda _: CUT)
    app = make_app()
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: app.session.ready)
        await pilot.press("5", "A")
        await until(pilot, lambda: "Reports are cut off" in text_of(app))
        assert isinstance(app.screen, AdviceScreen)
        shown = " ".join(text_of(app).split())
        assert "3 of 3 reports did not end within 400 tokens" in shown
        assert "사례-0 [b]굵게" in shown
        assert "evaluate.max_new_tokens = 600" in shown
        await pilot.press("enter")
        await until(pilot, lambda: [asked for asked in engine.asked if asked[0] == "set keys"])
        assert not isinstance(app.screen, AdviceScreen)
    (made,) = [literal_eval(keys) for asked, keys in engine.asked if asked == "set keys"]
    assert made == {"evaluate.max_new_tokens": 600, "chat.max_tokens": 600}


async def test_without_anything_to_advise_it_says_what_would_give_it_something(
    make_app, until, text_of
):
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.session.ready)
        await pilot.press("4", "A")
        await until(pilot, lambda: "Nothing to advise" in text_of(app))
        await pilot.press("escape")
        assert not isinstance(app.screen, AdviceScreen)
