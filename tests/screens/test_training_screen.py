from __future__ import annotations

import math
import re
import subprocess
import sys

import pytest

from haruon_tui.jobs.curve import best
from haruon_tui.jobs.events import EventWriter
from haruon_tui.jobs.series import Series
from haruon_tui.jobs.smoothing import Smoothed
from haruon_tui.jobs.store import State
from haruon_tui.screens.chart_view import ChartView, moved
from haruon_tui.screens.history import History
from haruon_tui.screens.training_figures import settings_line, training_figures
from haruon_tui.screens.widgets.axis import labels, log_ticks, scale, ticks
from haruon_tui.screens.widgets.chart import Chart
from haruon_tui.screens.widgets.curve_picture import Curve, Mark, Window, picture
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
    """The chart of the loss, once something is drawn in it."""
    await until(pilot, lambda: list(app.screen.query("#chart")), "no chart")
    chart = app.screen.query_one("#chart", Chart)
    await until(pilot, lambda: chart._picture is not None, "nothing was drawn")
    return chart


def lines_of(chart: Chart) -> list[str]:
    """The rows of the curve, without labels and axis."""
    rows = ["".join(character for character, _ in row) for row in chart._picture.rows]
    return [row[chart._picture.left :] for row in rows[:-2]]


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
        assert f"{DIAMOND} evaluation 0.1000" in shown
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
        chart = await drawn(pilot, app, until)
        assert (chart._picture.window.first, chart._picture.window.last) == (1, 39)
        assert "loss 0.1538" in text_of(app)


async def test_not_a_number_is_a_gap_is_marked_and_announced(make_app, engine, until, text_of):
    run = engine.add("train")
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("4")
        values = [3.0, 2.5, "nan", 2.0, 1.5, "inf", 1.0]
        points = [point(step, loss=value) for step, value in enumerate(values)]
        engine.push(run, engine.status(State.RUNNING), *points)
        chart = await drawn(pilot, app, until)
        await until(pilot, lambda: "2 not finite, the first at step 2" in text_of(app))
        notices = [f"{notice.title}: {notice.message}" for notice in app._notifications]
        assert any("NaN or infinite: first at step 2 of" in notice for notice in notices)
        axis = "".join(character for character, _ in chart._picture.rows[-2])
        assert axis.count("×") == 2
        columns = [chart._picture.column_of(step) - chart._picture.left for step in (1.5, 2.5)]
        for column in range(columns[0] + 1, columns[1]):
            assert all(row[column] == " " for row in lines_of(chart)), "drawn over the gap"
        highest = max(row.find("┤") >= 0 and float(row[:6] or 0) for row in rows_of(chart))
        assert highest <= 3.0, "an infinity must not stretch the axis"


def rows_of(chart: Chart) -> list[str]:
    return ["".join(character for character, _ in row) for row in chart._picture.rows]


async def test_after_a_resume_the_curve_is_one_and_the_restart_is_marked(
    make_app, engine, until, text_of
):
    run = engine.add("train")
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("4")
        first = [point(step, loss=5.0) for step in (1, 2, 3, 4)]
        second = [{**point(step, loss=4.0), "attempt": 2} for step in (3, 4, 5)]
        engine.push(run, engine.status(State.RUNNING), *first, *second)
        chart = await drawn(pilot, app, until)
        assert app.session.history(run).curves.series("loss")[1] == [5.0, 5.0, 4.0, 4.0, 4.0]
        assert "↻" in rows_of(chart)[-2]
        assert "↻ restart" in text_of(app)


async def test_a_burst_of_news_draws_at_most_three_frames_a_second(make_app, engine, until):
    run = engine.add("train")
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("4")
        engine.push(run, engine.status(State.RUNNING), *CURVE)
        chart = await drawn(pilot, app, until)
        await until(pilot, lambda: chart._timer is None)
        frames = chart.frames
        for _ in range(200):
            app.screen.show_update(app.session.history(run), [])
        assert chart.frames == frames
        await until(pilot, lambda: chart.frames > frames)
        assert chart.frames == frames + 1


async def test_cursor_zoom_scale_and_the_next_curve_by_key(make_app, engine, until, text_of):
    run = engine.add("train")
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("4")
        points = [
            point(s, loss=100.0 / s, learning_rate=1e-3, grad_norm=s / 4) for s in range(1, 401)
        ]
        engine.push(run, engine.status(State.RUNNING), *points, point(200, eval_loss=0.75))
        chart = await drawn(pilot, app, until)
        await pilot.press("left")
        assert "step 400:  loss 0.2500" in text_of(app)
        await pilot.press("shift+left", "shift+left", "shift+left")
        cursor = app.screen.chart_view.cursor
        assert 200 < cursor < 400
        assert f"loss {100 / cursor:.4f}" in text_of(app)
        assert "evaluation 0.7500" in text_of(app)
        await pilot.press("plus", "plus")
        window = chart._picture.window
        assert window.width == pytest.approx(399 / 4)
        assert window.first <= cursor <= window.last
        await pilot.press("escape", "escape")
        assert chart._picture.window.width == 399
        await pilot.press("g")
        await until(pilot, lambda: "  log" in text_of(app))
        assert any(row.lstrip().startswith("10") for row in rows_of(chart))
        await pilot.press("c")
        await until(pilot, lambda: "learning rate 0.001" in text_of(app))
        await pilot.press("c")
        await until(pilot, lambda: "gradient norm 100" in text_of(app))


async def test_on_a_large_screen_every_metric_has_its_chart(make_app, engine, until, text_of):
    run = engine.add("train")
    app = make_app()
    async with app.run_test(size=(200, 60)) as pilot:
        await pilot.press("4")
        points = [
            point(s, loss=9.0 / s, learning_rate=1e-3, grad_norm=2.5, mfu=0.41) for s in (1, 2, 3)
        ]
        engine.push(run, engine.status(State.RUNNING), *points)
        await drawn(pilot, app, until)
        for words in ("learning rate 0.001", "gradient norm 2.5", "MFU 41.0%"):
            await until(pilot, lambda words=words: words in text_of(app), words)
        shown = {chart.metric.name for chart in app.screen.query(Chart) if chart.display}
        assert shown == {"loss", "learning_rate", "grad_norm", "mfu"}


@pytest.mark.parametrize(
    "size", [(80, 24), (100, 30), (110, 50), (120, 36), (130, 38), (155, 40), (160, 45), (250, 36)]
)
async def test_every_chart_that_is_seen_has_room_for_its_curve(
    make_app, engine, until, text_of, size
):
    run = engine.add("train")
    app = make_app()
    async with app.run_test(size=size) as pilot:
        await pilot.press("4")
        points = [
            point(s, loss=9.0 / s, learning_rate=1e-3, grad_norm=2.5, mfu=0.4, tokens_per_second=9)
            for s in (1, 2, 3)
        ]
        engine.push(run, engine.status(State.RUNNING), *points)
        await drawn(pilot, app, until)
        charts = [one for one in app.screen.query(Chart) if one.is_on_screen]
        await until(pilot, lambda: all(one._picture for one in charts), "a chart without a curve")
        assert not re.search("No room|No finite", text_of(app))


async def test_a_failed_training_has_room_for_all_of_its_error(make_app, engine, until, text_of):
    run = engine.add("train", State.FAILED)
    error = {"what": "out of memory", "where": "step 3", "expected": "8 GB", "do": "halve it"}
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("4")
        engine.push(run, engine.status(State.FAILED, error=error), *CURVE)
        await until(pilot, lambda: all(part in text_of(app) for part in error.values()))


async def test_what_a_run_changed_by_itself_is_told(make_app, engine, until, text_of):
    run = engine.add("train")
    app = make_app()
    async with app.run_test(size=(200, 60)) as pilot:
        await until(pilot, lambda: app.session.ready)
        await pilot.press("4")
        values = {"batch_size": [8, 4], "accumulation": [2, 4]}
        changed = {"kind": "changed", "step": 20, "why": "out of memory", "values": values}
        engine.push(run, engine.status(State.RUNNING), *CURVE, changed)
        words = "Since step 20, out of memory: batch_size 4 (was 8), accumulation 4 (was 2)"
        await until(pilot, lambda: words in " ".join(text_of(app).split()))


async def test_one_key_saves_the_curves_in_three_forms(make_app, engine, until, workspace):
    run = engine.add("train")
    run.folder.mkdir(parents=True)
    (run.folder / "job.json").write_text(run.job.model_dump_json())
    writer = EventWriter(run.log, attempt=1)
    for event in (dict(one) for one in CURVE):
        writer.write(event.pop("kind"), **event)
    writer.close()
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("4")
        engine.push(run, engine.status(State.RUNNING), *CURVE)
        await drawn(pilot, app, until)
        await pilot.press("x")
        await until(pilot, lambda: [n for n in app._notifications if n.title == "Charts"])
        (said,) = [n.message for n in app._notifications if n.title == "Charts"]
    stem = workspace.folder / "charts" / f"{run.id}-step-39"
    assert said == f"{stem}.svg, .png, .csv"
    assert stem.with_suffix(".svg").read_text().startswith("<?xml")
    assert stem.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    assert stem.with_suffix(".csv").read_text().splitlines()[1].startswith(f"{run.id},1,6.0")


async def test_tiny_windows_draw_without_an_error(make_app, engine, until):
    run = engine.add("train")
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("4")
        engine.push(run, engine.status(State.RUNNING), *CURVE)
        chart = await drawn(pilot, app, until)
        for width, height in ((30, 10), (20, 14), (200, 50), (80, 24)):
            await pilot.resize_terminal(width, height)
            chart.draw()
            await pilot.pause()
        assert chart._picture


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize(
    "values",
    [[1.0], [0.0, 0.0], [1e30, 1e30], [-1e-30, 1e-30], [2, 9e9], [1e-300, 1e300], [math.nan] * 3],
)
def test_odd_curves_are_drawn_or_said_to_be_empty(values, log):
    curve = Curve(series(values), "line")
    for window in (Window(0, len(values)), Window(5, 6)):
        for width, height in ((24, 5), (80, 14), (200, 50)):
            drawn = picture([curve], [], window, width, height, log=log, cursor=0)
            empty = math.isnan(values[0]) or window.first == 5
            assert (drawn is None) == empty
            if drawn:
                assert len(drawn.rows) == height
                assert {len(row) for row in drawn.rows} == {width}


def series(values: list[float], steps: list[int] | None = None) -> Series:
    made = Series()
    made.extend(steps or range(len(values)), values)
    return made


def text(drawn) -> str:
    return "\n".join("".join(character for character, _ in row) for row in drawn.rows)


def test_a_spike_among_many_points_is_drawn():
    values = [1.0] * 20_000
    values[7_001] = 99.0
    drawn = picture([Curve(series(values), "line")], [], Window(0, 19_999), 80, 20)
    top = text(drawn).splitlines()[0]
    assert BRAILLE.search(top), "the spike is not at the top"
    assert abs(BRAILLE.search(top).start() - drawn.column_of(7_001)) <= 1


def test_a_window_shows_its_steps_and_the_line_that_comes_in():
    curve = Curve(series([1.5, 2.0, 1.0], [0, 50, 100]), "line")
    drawn = picture([curve], [Mark(20, "▴"), Mark(90, "★")], Window(40, 100), 60, 12)
    assert "★" in text(drawn)
    assert "▴" not in text(drawn)
    assert all(row[drawn.left] for row in drawn.rows)
    first = [row[drawn.left][0] for row in drawn.rows[:-2]]
    assert any(BRAILLE.match(cell) for cell in first), "no line at the left edge"


def test_smoothing_starts_at_the_first_value_and_passes_over_gaps():
    source = series([4.0, 4.0, math.nan, 4.0, 2.0])
    smoothed = Smoothed(source, 0.5)
    assert smoothed.follow()
    found = list(smoothed.series.values)
    assert found[:2] == [4.0, 4.0]
    assert math.isnan(found[2])
    assert found[3] == 4.0
    assert 2.0 < found[4] < 4.0
    source.cut(2)
    source.extend([2], [4.0])
    assert smoothed.follow()
    assert list(smoothed.series.values) == [4.0, 4.0, 4.0]


def test_a_window_follows_the_newest_step_until_the_cursor_holds_it():
    view = ChartView()
    view.zoom(0.1, 0, 1000)
    assert view.window(0, 1000) == Window(900, 1000)
    assert view.window(0, 2000) == Window(1900, 2000)
    view.point(500, 0, 2000)
    assert view.window(0, 2000) == Window(500, 600)
    assert view.window(0, 3000) == Window(500, 600)
    view.zoom(100, 0, 3000)
    assert view.window(0, 3000) == Window(0, 3000)


def test_the_cursor_stands_on_points_and_always_moves():
    points = series([1.0] * 5, [1, 10, 20, 30, 40])
    assert moved(points, None, 1) == 40
    assert moved(points, 20, 0.5) == 30
    assert moved(points, 20, -0.5) == 10
    assert moved(points, 1, -5) == 1
    assert moved(points, 10, 18) == 30


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
    assert labels([0.5, 1.0]) == ["0.5", "1.0"]
    assert labels([5e8, 1e9]) == ["5e+08", "1e+09"]
    assert labels([1e-7, 2e-7]) == ["1e-07", "2e-07"]


def test_a_logarithmic_axis_has_powers_of_ten_or_round_values():
    assert log_ticks(0.05, 200.0, most=4) == pytest.approx([0.1, 1.0, 10.0, 100.0])
    assert log_ticks(0.9, 2.6, most=5) == pytest.approx([1.0, 2.0])
    assert len(log_ticks(2.1, 2.4, most=4)) >= 2
    assert scale(-1.0, 5.0, log=True).log is False


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
    assert shown["MFU"] == "–"
    assert best(series([math.nan, math.inf])) is None


def test_the_settings_that_matter_are_named():
    line = settings_line(settings())
    for part in ("recommended", "lora r64", "lr 0.002", "batch 8", "4 epochs"):
        assert part in line


def test_the_screen_loads_no_plotting_library_before_it_is_shown():
    code = "import sys, haruon_tui.screens.training\nassert 'numpy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
