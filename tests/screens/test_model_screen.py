from __future__ import annotations

import pytest
from textual.widgets import Sparkline

from haruon_tui.jobs.store import State
from haruon_tui.model.stage import Params
from haruon_tui.planning import Step
from haruon_tui.screens.model import base_text

RESULT = {
    "summary": "tiny: 3.5 M parameters",
    "base": "tiny",
    "parameters": 3_500_000,
    "bytes": 14_000_000,
    "prompt": "개방성: 새로운 것을 배우는 걸 좋아해요",
    "answer": "새로운 것을 [bold]배우는[/] 걸 좋아하신다고 하셨네요. \x1b[31m"
    + "호기심이 많습니다. " * 12,
    "tokens_per_second": 412.3,
}


@pytest.mark.parametrize("size", [(80, 24), (200, 60)])
async def test_the_first_answer_is_plain_wrapped_text(make_app, engine, until, text_of, size):
    engine.add("model", State.FINISHED, result=RESULT)
    app = make_app()
    async with app.run_test(size=size) as pilot:
        await pilot.press("3")
        await until(pilot, lambda: "[bold]배우는[/]" in text_of(app))
        shown = text_of(app)
        assert "\x1b" not in shown
        assert shown.count("호기심이") == 12, "nothing of a long answer is cut off"
        assert "새로운 것을 배우는 걸 좋아해요" in shown
        assert "412.3" in shown
        assert "3.5 M" in shown


async def test_while_it_is_built_the_loss_is_drawn(make_app, engine, until, text_of):
    run = engine.add("model")
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("3")
        losses = [7.0, "nan", 4.0, 2.5]
        events = [
            {"kind": "metric", "step": step, "values": {"loss": loss}}
            for step, loss in enumerate(losses)
        ]
        engine.push(run, engine.status(State.RUNNING), *events)
        await until(pilot, lambda: "loss 2.500 at step 3, 7.000 at the start" in text_of(app))
        assert app.screen.query_one(Sparkline).data == [7.0, 4.0, 2.5]
        assert "45/100 steps" in text_of(app)
        engine.known.clear()
        engine.add("model", State.FINISHED, result=RESULT)
        engine.push(run, engine.status(State.FINISHED, result=RESULT))
        await until(pilot, lambda: not app.screen.query_one("#build").display)


async def test_a_result_that_no_longer_holds_goes_away(make_app, engine, until, text_of):
    engine.add("model", State.FINISHED, result=RESULT)
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("3")
        await until(pilot, lambda: "412.3" in text_of(app))
        engine.results.clear()
        step = engine.steps["model"]
        engine.steps["model"] = Step(
            "model", Params(base="other", revision="main"), "mark", None, step.latest, step.state
        )
        app.session.refresh()
        await until(pilot, lambda: "first answer appears here" in text_of(app))
        assert "412.3" not in text_of(app)
        assert "Base model  other" in text_of(app)


def test_the_base_is_named_by_folder_and_revision():
    text = base_text(Params(base="Qwen/Qwen2-1.5B", revision="abc"), "/ws/runs/x/model").plain
    assert "Qwen/Qwen2-1.5B at abc" in text
    assert "/ws/runs/x/model" in text
    assert "tiny" in base_text(Params(base="tiny", revision="main"), None).plain
