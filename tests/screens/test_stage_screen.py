from __future__ import annotations

from haruon_tui.jobs.store import State, Status
from haruon_tui.planning import StageState
from haruon_tui.screens.confirm import ConfirmScreen
from haruon_tui.screens.widgets.error_panel import ErrorPanel


async def test_r_runs_the_stage_and_says_so(make_app, engine, until, text_of):
    app = make_app()
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, lambda: app.session.ready)
        assert "press r to start" in text_of(app)
        await pilot.press("2", "r")
        await until(pilot, lambda: ("submit", "dataset") in engine.asked)
        await until(pilot, lambda: "dataset started" in text_of(app))


async def test_a_refused_start_shows_every_part_of_the_error(
    make_app, engine, until, text_of, refused
):
    engine.refusal = refused
    app = make_app()
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, lambda: app.session.ready)
        await pilot.press("4", "r")
        await until(pilot, lambda: "train needs model first" in text_of(app))
        assert "a model" in text_of(app)
        assert "press R" in text_of(app)


async def test_a_blocked_stage_names_what_is_missing(make_app, until, text_of):
    app = make_app()
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, lambda: app.session.ready)
        await pilot.press("4")
        await until(pilot, lambda: "Not done before this: model and dataset" in text_of(app))


async def test_a_job_in_a_queue_of_slurms_shows_what_it_waits_for(
    make_app, engine, until, text_of
):
    run = engine.add("train")
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("4")
        words = "queued on Slurm (job 12, PENDING: Resources)"
        waits = Status(State.QUEUED, 1, None, None, None, words)
        engine.push(run, waits)
        await until(pilot, lambda: words in text_of(app))
        engine.push(run, engine.status(State.RUNNING))
        await until(pilot, lambda: words not in text_of(app))


async def test_stop_asks_first(make_app, engine, until):
    run = engine.add("dataset")
    app = make_app()
    async with app.run_test(notifications=True) as pilot:
        await pilot.press("2")
        engine.push(run, engine.status(State.RUNNING))
        await until(pilot, lambda: app.session.active("dataset"))
        await pilot.press("s")
        await until(pilot, lambda: isinstance(app.screen, ConfirmScreen))
        await pilot.press("n")
        await until(pilot, lambda: not isinstance(app.screen, ConfirmScreen))
        assert ("stop", run.id) not in engine.asked
        await pilot.press("s")
        await until(pilot, lambda: isinstance(app.screen, ConfirmScreen))
        await pilot.press("y")
        await until(pilot, lambda: ("stop", run.id) in engine.asked)


async def test_read_only_starts_and_stops_nothing(make_app, engine, until, text_of):
    run = engine.add("dataset")
    app = make_app(read_only=True)
    async with app.run_test(notifications=True) as pilot:
        await pilot.press("2")
        engine.push(run, engine.status(State.RUNNING))
        await until(pilot, lambda: app.session.active("dataset"))
        await pilot.press("s")
        await until(pilot, lambda: "cannot stop" in text_of(app))
        await pilot.press("3", "r", "R")
        await until(pilot, lambda: "cannot start" in text_of(app))
        assert [asked for asked in engine.asked if asked[0] in ("submit", "stop")] == []


async def test_markup_and_escapes_in_a_log_show_literally(make_app, engine, until, text_of):
    run = engine.add("dataset")
    app = make_app()
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await pilot.press("2")
        engine.push(
            run,
            engine.status(State.RUNNING),
            {"kind": "log", "level": "info", "text": "[bold red]성격[/] \x1b[31mred\x1b[0m \x07"},
        )
        await until(pilot, lambda: "[bold red]성격[/] red" in text_of(app))
        assert "\x1b" not in text_of(app)
        await pilot.press("l")
        await until(pilot, lambda: "Log of" in text_of(app))
        await until(pilot, lambda: "[bold red]성격[/] red" in text_of(app))


async def test_progress_and_state_can_be_read_without_colour(make_app, engine, until, text_of):
    run = engine.add("train")
    app = make_app()
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await pilot.press("4")
        engine.push(
            run,
            engine.status(State.RUNNING),
            {"kind": "metric", "step": 5, "values": {"loss": 2.5}},
        )
        await until(pilot, lambda: "loss 2.5" in text_of(app))
        shown = text_of(app)
        assert "▶ 45%" in shown
        assert "▶ running" in shown
        assert "█" in shown
        assert "45/100 steps" in shown


async def test_a_failed_job_shows_its_error_in_four_parts(make_app, engine, until, text_of):
    run = engine.add("dataset", State.FAILED)
    error = {"what": "bad row", "where": "a.jsonl:3", "expected": "JSON", "do": "mend it"}
    app = make_app()
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await pilot.press("2")
        engine.push(run, engine.status(State.FAILED, error=error))
        await until(pilot, lambda: all(part in text_of(app) for part in error.values()))


async def test_a_broken_plan_shows_and_goes_away_when_mended(make_app, engine, until, text_of):
    app = make_app()
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, lambda: app.session.ready)
        parts = {"what": "unknown key 'ephocs'", "where": "haruon.toml:7", "expected": "epochs"}
        engine.problem = {**parts, "do": "did you mean 'epochs'?"}
        app.session.refresh()
        await until(pilot, lambda: all(p in text_of(app) for p in engine.problem.values()))
        assert app.session.steps, "the last good plan must stay"
        engine.problem = None
        app.session.refresh()
        panel = app.screen.query_one("#problem", ErrorPanel)
        await until(pilot, lambda: not panel.display)


async def test_a_real_engine_reports_a_broken_settings_file_and_recovers(workspace, until):
    from haruon_tui.screens.engine import Engine

    good = workspace.file.read_text("utf-8")
    engine = Engine(workspace, lambda update: None)
    workspace.file.write_text("profile = 'tiny'\n[train]\nephocs = 3\n", "utf-8")
    assert engine.poll()
    problem = engine.overview().problem
    assert problem is not None
    assert "ephocs" in problem["what"]
    assert "haruon.toml:3" in problem["where"]
    workspace.file.write_text(good, "utf-8")
    assert engine.poll()
    assert engine.overview().problem is None
    engine.close()


async def test_brackets_choose_between_the_stages_of_a_screen(make_app, engine, until, text_of):
    app = make_app()
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, lambda: app.session.ready)
        await pilot.press("6")
        await until(pilot, lambda: "[convert · not started]" in text_of(app))
        await pilot.press("right_square_bracket")
        await until(pilot, lambda: "[quantize · not started]" in text_of(app))
        await pilot.press("r")
        await until(pilot, lambda: ("submit", "quantize") in engine.asked)


async def test_stages_of_one_screen_count_together(make_app, engine, until, text_of):
    engine.add("convert", State.FINISHED, result={"summary": "converted"})
    app = make_app()
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, lambda: "◐ 1/3" in text_of(app))
        engine.steps["compare"] = engine.step("compare", StageState.STALE)
        app.session.refresh()
        await until(pilot, lambda: "~ stale" in text_of(app))


async def test_a_click_on_the_bar_changes_the_screen(make_app, until):
    app = make_app()
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await pilot.click("StageBar", offset=(13, 1))
        await until(pilot, lambda: app.current_mode == "dataset")
