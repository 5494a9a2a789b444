from __future__ import annotations

import math
import re
import subprocess
import sys

import pytest
from textual_plot import PlotWidget

from haruon_tui.jobs.store import State
from haruon_tui.screens.history import History
from haruon_tui.screens.training_figures import best, settings_line, training_figures
from haruon_tui.screens.widgets.loss_chart import LossChart, _limits, segments, thinned, ticks
from haruon_tui.settings import TrainSettings

BRAILLE = re.compile("[\u2801-\u28ff]")
DIAMOND = "◆"


def point(step: int, **values: float | str) -> dict:
    return {"kind": "metric", "step": step, "values": values}


CURVE = [point(step, loss=6.0 / step, tokens_per_second=1234.5) for step in range(1, 40)]


def settings() -> TrainSettings:
    from haruon_tui.profiles import values

    own = {"epochs": 4.0, "rank": 64, "learning_rate": 2e-3, "batch_size": 8}
    return TrainSettings(**values("tiny", "recommended")["train"] | own)


async def drawn(pilot, app, until):
    await until(pilot, lambda: list(app.screen.query(PlotWidget)), "no plot was mounted")
    plot = app.screen.query_one(PlotWidget)
    await until(pilot, lambda: plot.display and plot._datasets, "nothing was drawn")
    return plot


@pytest.mark.parametrize("size", [(80, 24), (200, 60)])
async def test_the_curve_and_its_key_can_be_read_without_colour(
    make_app, engine, until, text_of, size, monkeypatch
):
    monkeypatch.setenv("NO_COLOR", "1")
    run = engine.add("train")
    app = make_app()
    async with app.run_test(size=size) as pilot:
        await pilot.press("4")
        engine.push(run, engine.status(State.RUNNING), *CURVE, point(39, eval_loss=0.1))
        await drawn(pilot, app, until)
        await until(pilot, lambda: BRAILLE.search(text_of(app)), "no line")
        shown = text_of(app)
        assert "⠒⠒ loss" in shown
        assert f"{DIAMOND} evaluation loss" in shown
        assert shown.count(DIAMOND) == 2, "one in the key, one in the chart"
        assert "45/100" in shown
        assert "1,23" in shown  # tokens/s


async def test_with_no_training_it_says_what_to_do(make_app, until, text_of):
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.session.ready)
        await pilot.press("4")
        await until(pilot, lambda: "loss curve appears here" in text_of(app))
        assert "Press R to run every stage" in text_of(app)


async def test_a_screen_opened_late_shows_the_whole_curve(make_app, engine, until, text_of):
    run = engine.add("train")
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.session.ready)
        engine.push(run, engine.status(State.RUNNING), *CURVE)
        await until(pilot, lambda: app.session.active("train"))
        await pilot.press("4")
        plot = await drawn(pilot, app, until)
        assert len(plot._datasets[0].x) == len(CURVE)
        assert "over 39 steps" in text_of(app)


async def test_not_a_number_is_a_gap_and_is_counted(make_app, engine, until, text_of):
    run = engine.add("train")
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("4")
        values = [3.0, 2.5, "nan", 2.0, 1.5, "inf", 1.0]
        points = [point(step, loss=value) for step, value in enumerate(values)]
        engine.push(run, engine.status(State.RUNNING), *points)
        plot = await drawn(pilot, app, until)
        await until(pilot, lambda: "2 not finite: gaps" in text_of(app))
        assert [list(part.x) for part in plot._datasets] == [[0, 1], [3, 4], [6]]
        assert 3.0 < plot._y_max < 3.5, "an infinity must not stretch the axis"


async def test_after_a_resume_the_curve_is_one(make_app, engine, until):
    run = engine.add("train")
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("4")
        first = [point(step, loss=5.0) for step in (1, 2, 3, 4)]
        second = [{**point(step, loss=4.0), "attempt": 2} for step in (3, 4, 5)]
        engine.push(run, engine.status(State.RUNNING), *first, *second)
        plot = await drawn(pilot, app, until)
        (line,) = plot._datasets
        assert list(line.x) == [1, 2, 3, 4, 5]
        assert list(line.y) == [5.0, 5.0, 4.0, 4.0, 4.0]


async def test_a_burst_of_news_draws_at_most_three_frames_a_second(
    make_app, engine, until, monkeypatch
):
    frames = []
    draw = LossChart._draw

    def counted(self):
        frames.append(1)
        draw(self)

    monkeypatch.setattr(LossChart, "_draw", counted)
    run = engine.add("train")
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("4")
        await until(pilot, lambda: list(app.screen.query(PlotWidget)))
        chart = app.screen.query_one(LossChart)
        await until(pilot, lambda: chart._timer is None)
        frames.clear()
        for _ in range(200):
            app.screen.show_update(app.session.history(run), [])
        assert frames == []
        await until(pilot, lambda: frames)
        assert len(frames) == 1


async def test_a_failed_training_has_room_for_all_of_its_error(make_app, engine, until, text_of):
    run = engine.add("train", State.FAILED)
    error = {"what": "out of memory", "where": "step 3", "expected": "8 GB", "do": "halve it"}
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("4")
        engine.push(run, engine.status(State.FAILED, error=error), *CURVE)
        await until(pilot, lambda: all(part in text_of(app) for part in error.values()))


@pytest.mark.parametrize("values", [[1.0], [0.0, 0.0], [1e30, 1e30], [-1e-30, 1e-30], [2, 9e9]])
async def test_odd_curves_and_tiny_windows_draw_without_an_error(make_app, engine, until, values):
    run = engine.add("train")
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("4")
        points = [point(step, loss=value) for step, value in enumerate(values)]
        engine.push(run, engine.status(State.RUNNING), *points)
        await drawn(pilot, app, until)
        chart = app.screen.query_one(LossChart)
        for width, height in ((30, 10), (20, 14), (80, 15), (200, 50), (80, 24)):
            await pilot.resize_terminal(width, height)
            chart._draw()
            await pilot.pause()


def test_a_spike_survives_thinning():
    points = [(step, 1.0) for step in range(20_000)]
    points[7_001] = (7_001, 99.0)
    (kept,) = thinned([points], 160)
    assert len(kept) <= 180
    assert (7_001, 99.0) in kept
    assert [step for step, _ in kept] == sorted(step for step, _ in kept)
    assert thinned([points[:50]], 160) == [points[:50]]


def test_gaps_split_a_curve_and_stretch_no_axis():
    curve = [(1, 2.0), (2, math.nan), (3, 4.0), (4, 5.0), (5, -math.inf)]
    assert segments(curve) == [[(1, 2.0)], [(3, 4.0), (4, 5.0)]]
    low, high = _limits([3.0], least=0.01)
    assert low < 3.0 < high


@pytest.mark.parametrize(
    ("low", "high", "most", "expected"),
    [
        (3.9, 6.6, 2, [4.0, 6.0]),
        (3.9, 6.6, 5, [4.0, 5.0, 6.0]),
        (0.71, 0.74, 4, [0.71, 0.72, 0.73, 0.74]),
        (0.0, 1e9, 4, [0.0, 5e8, 1e9]),
    ],
)
def test_ticks_are_round_and_fit(low, high, most, expected):
    assert ticks(low, high, most=most) == pytest.approx(expected)


def test_a_label_is_short_or_in_powers_of_ten_but_never_cut():
    from haruon_tui.screens.widgets.plot import Labels

    assert Labels().get_labels_for_ticks([0.5, 1.0]) == ["0.5", "1.0"]
    assert Labels().get_labels_for_ticks([5e8, 1e9]) == ["5e+08", "1e+09"]
    assert Labels().get_labels_for_ticks([1e-7, 2e-7]) == ["1e-07", "2e-07"]


def test_figures_keep_their_names_from_the_empty_state_on(engine):
    empty = training_figures(None, None, 0.0)
    run = engine.add("train")
    history = History(run, "train")
    events = [
        point(1, loss=2.0, learning_rate=2e-3, grad_norm=0.5, tokens_per_second=4321.0),
        point(100, eval_loss=0.75),
        point(200, eval_loss=0.9),
        {"kind": "checkpoint", "step": 100, "path": "c"},
        {"kind": "checkpoint", "step": 200, "path": "c"},
        {"kind": "resource", "cpu_percent": 190.0, "rss_bytes": 1_500_000_000},
    ]
    numbered = [{"seq": n, "t": 0.0, "attempt": 1, **e} for n, e in enumerate(events, start=1)]
    history.feed(numbered, engine.status(State.RUNNING))
    figures = training_figures(history, settings(), 0.0)
    assert [name for name, _ in figures] == [name for name, _ in empty]
    shown = dict(figures)
    assert shown["step"] == "45/100"
    assert shown["epoch"] == "1.80 of 4"
    assert shown["eval loss"] == "0.9000"
    assert shown["best eval"] == "0.7500 at 100"
    assert shown["tokens/s"] == "4,321"
    assert shown["saved"] == "2, at 200"
    assert shown["uses"] == "1.5 GB, 190 % CPU"
    assert best(([1, 2], [math.nan, math.inf])) is None


def test_the_settings_that_matter_are_named():
    line = settings_line(settings())
    for part in ("recommended", "lora r64", "lr 0.002", "batch 8", "4 epochs"):
        assert part in line


def test_the_screen_loads_no_plotting_library_before_it_is_shown():
    code = (
        "import sys, haruon_tui.screens.training\n"
        "assert 'numpy' not in sys.modules and 'textual_plot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
