from __future__ import annotations

from textual.widgets import DataTable

from haruon_tui.jobs.store import State
from haruon_tui.screens.confirm import ConfirmScreen


async def opened(app, pilot, until):
    await pilot.press("9")
    await until(pilot, lambda: app.session.ready)
    await until(pilot, lambda: app.current_mode == "jobs")
    return app.screen.query_one(DataTable)


async def test_an_empty_list_says_what_to_do(make_app, until, text_of):
    app = make_app()
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await opened(app, pilot, until)
        await until(pilot, lambda: "press 1 to check the machine" in text_of(app))


async def test_the_newest_run_is_on_top_and_its_log_below(make_app, engine, until, text_of):
    engine.add("dataset", State.FINISHED)
    newest = engine.add("train")
    app = make_app()
    async with app.run_test(size=(120, 30), notifications=True) as pilot:
        table = await opened(app, pilot, until)
        await until(pilot, lambda: table.row_count == 2)
        assert str(table.get_row_at(0)[0]) == newest.id
        await until(pilot, lambda: ("follow", newest.id) in engine.asked)
        engine.push(
            newest, engine.status(State.RUNNING), {"kind": "log", "text": "[b]step[/b] 5 of 9"}
        )
        await until(pilot, lambda: "[b]step[/b] 5 of 9" in text_of(app))
        assert "▶ running" in text_of(app)


async def test_the_list_follows_runs_that_come_and_keeps_the_chosen_one(make_app, engine, until):
    engine.add("hardware", State.FINISHED)
    engine.add("dataset", State.FINISHED)
    app = make_app()
    async with app.run_test(size=(120, 30), notifications=True) as pilot:
        table = await opened(app, pilot, until)
        await until(pilot, lambda: table.row_count == 2)
        await pilot.press("down")
        chosen = app.screen.job().run.id
        engine.add("train")
        app.session.refresh()
        await until(pilot, lambda: table.row_count == 3)
        assert app.screen.job().run.id == chosen


async def test_filter_by_state(make_app, engine, until, text_of):
    engine.add("dataset", State.FINISHED)
    engine.add("train", State.FAILED)
    app = make_app()
    async with app.run_test(size=(120, 30), notifications=True) as pilot:
        table = await opened(app, pilot, until)
        await until(pilot, lambda: table.row_count == 2)
        await pilot.press("slash", *"failed")
        await until(pilot, lambda: table.row_count == 1)
        await pilot.press("enter", "escape")
        await until(pilot, lambda: table.row_count == 2)


async def test_remove_asks_first_and_spares_running_jobs(make_app, engine, until):
    done = engine.add("dataset", State.FINISHED)
    app = make_app()
    async with app.run_test(size=(120, 30), notifications=True) as pilot:
        table = await opened(app, pilot, until)
        await until(pilot, lambda: table.row_count == 1)
        await pilot.press("x")
        await until(pilot, lambda: isinstance(app.screen, ConfirmScreen))
        await pilot.press("enter")
        await until(pilot, lambda: not isinstance(app.screen, ConfirmScreen))
        assert ("remove", done.id) not in engine.asked, "the focus must be on no"
        await pilot.press("x")
        await until(pilot, lambda: isinstance(app.screen, ConfirmScreen))
        await pilot.press("y")
        await until(pilot, lambda: table.row_count == 0)
        engine.add("train")
        app.session.refresh()
        await until(pilot, lambda: table.row_count == 1)
        await pilot.press("x")
        assert not isinstance(app.screen, ConfirmScreen)


async def test_a_stopped_run_is_resumed_with_u(make_app, engine, until):
    stopped = engine.add("train", State.STOPPED)
    app = make_app()
    async with app.run_test(size=(120, 30), notifications=True) as pilot:
        table = await opened(app, pilot, until)
        await until(pilot, lambda: table.row_count == 1)
        await pilot.press("u")
        await until(pilot, lambda: ("resume", stopped.id) in engine.asked)
