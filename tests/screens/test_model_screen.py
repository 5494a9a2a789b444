from __future__ import annotations

import pytest
from textual.widgets import Sparkline

from haruon_tui.jobs.store import State
from haruon_tui.model.stage import Params
from haruon_tui.planning import Step
from haruon_tui.screens.model import base_text, card_figures, pace_text, tokens_text

CARD = {
    "architecture": "Qwen2ForCausalLM",
    "model_type": "qwen2",
    "parameters": 3_500_000,
    "dtypes": {"F32": 3_500_000},
    "bytes": 14_000_000,
    "layers": 4,
    "hidden": 256,
    "heads": 4,
    "key_value_heads": 2,
    "context": 2048,
    "tied_embeddings": True,
    "vocabulary": 2304,
    "tokens": 2304,
    "template": "ChatML",
    "special_tokens": [{"role": "eos", "text": "<|im_end|>", "id": 2303}],
    "stop_tokens": [
        {"role": "stop", "text": "<|im_end|>", "id": 2303},
        {"role": "stop", "text": "<|endoftext|>", "id": 2301},
    ],
    "license": None,
}
RESULT = {
    "summary": "tiny: 3.5 M parameters",
    "base": "tiny",
    "revision": "main",
    "commit": None,
    "card": CARD,
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
        await until(pilot, lambda: "412.3" in text_of(app))
        shown = text_of(app)
        assert "3.5 M" in shown
        assert "<|im_end|> 2303, <|endoftext|> 2301" in shown
        await until(pilot, lambda: "[bold]배우는[/]" in text_of(app))
        await pilot.press("pagedown")
        await until(pilot, lambda: "새로운 것을 배우는 걸 좋아해요" in text_of(app))
        shown = text_of(app)
        assert "\x1b" not in shown
        assert shown.count("호기심이") == 12, "nothing of a long answer is cut off"


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


async def test_a_download_shows_its_rate(make_app, engine, until, text_of):
    run = engine.add("model")
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("3")
        events = [
            {"kind": "metric", "step": 100 * n, "values": {"MB/s": rate}}
            for n, rate in enumerate([12.0, 30.0, 24.5])
        ]
        engine.push(run, engine.status(State.RUNNING), *events)
        await until(pilot, lambda: "24.5 MB/s at 200 MB, 30.0 MB/s at best" in text_of(app))


async def test_what_the_model_writes_appears_as_it_comes(make_app, engine, until, text_of):
    run = engine.add("model")
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("3")
        pieces = [
            {"kind": "piece", "text": text} for text in ("새로운 것을 ", "[red]배우", "는\x1b[2J")
        ]
        engine.push(run, engine.status(State.RUNNING), *pieces)
        await until(pilot, lambda: "새로운 것을 [red]배우는" in text_of(app))
        assert "s stops it" in text_of(app)
        assert "\x1b" not in text_of(app)


async def test_p_lets_the_model_speak_again_and_shows_it(make_app, engine, until, text_of):
    engine.add("model", State.FINISHED, result=RESULT)
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("3")
        await until(pilot, lambda: "412.3" in text_of(app))
        await pilot.press("p")
        await until(pilot, lambda: ("submit", "probe") in engine.asked)
        run = engine.known[0].run
        piece = {"kind": "piece", "text": "다시 말합니다"}
        engine.push(run, engine.status(State.RUNNING), piece)
        app.screen.query_one("#body").scroll_end(animate=False)
        await until(pilot, lambda: "다시 말합니다" in text_of(app))


async def test_a_fetch_that_fails_over_a_good_one_is_shown(make_app, engine, until, text_of):
    good = engine.add("model", State.FINISHED, result=RESULT)
    bad = engine.add("model", State.FAILED)
    step = engine.steps["model"]
    engine.steps["model"] = Step("model", step.params, "mark", good, bad, "done")
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("3")
        await until(pilot, lambda: "it failed" in text_of(app))
        assert "412.3" in text_of(app), "what was there holds"


async def test_with_no_model_the_screen_says_what_to_do(make_app, until, text_of, engine):
    params = Params(base="Qwen/Qwen2-1.5B", revision="main")
    step = engine.steps["model"]
    engine.steps["model"] = Step("model", params, "mark", None, None, step.state)
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("3")
        await until(pilot, lambda: "r fetches it from the Hugging Face Hub" in text_of(app))


@pytest.mark.parametrize("size", [(80, 24), (200, 60)])
async def test_the_bases_are_compared_and_one_is_chosen(make_app, engine, until, text_of, size):
    app = make_app()
    async with app.run_test(size=size) as pilot:
        await pilot.press("3", "v")
        await until(pilot, lambda: "<|endoftext|> 151643" in text_of(app))
        shown = text_of(app)
        assert "<|im_end|> 151645" in shown
        assert "▶ Qwen/Qwen2-1.5B-Instruct" in shown
        await pilot.press("left")
        await until(pilot, lambda: "LoRA cannot" in " ".join(text_of(app).split()))
        await pilot.press("c")
        await until(pilot, lambda: "Make Qwen/Qwen2-1.5B the base?" in text_of(app))
        assert not [asked for asked in engine.asked if asked[0] == "set base"]
        await pilot.press("y")
        await until(pilot, lambda: ("set base", "Qwen/Qwen2-1.5B") in engine.asked)


async def test_who_only_watches_changes_no_base(make_app, engine, until, text_of):
    app = make_app(read_only=True)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await pilot.press("3", "v")
        await until(pilot, lambda: "151645" in text_of(app))
        await pilot.press("c")
        await until(pilot, lambda: "cannot change" in text_of(app))
        assert not [asked for asked in engine.asked if asked[0] == "set base"]


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
        await until(pilot, lambda: "No model yet." in text_of(app))
        assert "412.3" not in text_of(app)
        assert "Base model  other" in text_of(app)


def test_the_base_is_named_by_folder_revision_and_commit():
    params = Params(base="Qwen/Qwen2-1.5B", revision="v1")
    text = base_text(params, "/ws/runs/x/model", {"commit": "ab" * 20}).plain
    assert "Qwen/Qwen2-1.5B at v1, pinned to abababababab" in text
    assert "/ws/runs/x/model" in text
    assert "tiny" in base_text(Params(base="tiny", revision="main"), None).plain


def test_the_card_tells_what_its_config_does_not_with_a_dash():
    unknown = {
        **CARD,
        "layers": None,
        "heads": None,
        "key_value_heads": None,
        "special_tokens": [],
    }
    figures = dict(card_figures({"card": unknown}))
    assert figures["layers"] == "–"
    assert figures["heads"] == "–, kv –"
    assert "special  none" in tokens_text(unknown).plain
    assert pace_text("loss", 3, 2.5, [7.0, 2.5]) == "loss 2.500 at step 3, 7.000 at the start"
