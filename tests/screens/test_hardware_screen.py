from __future__ import annotations

from dataclasses import replace

import pytest

from haruon_tui.errors import ConfigurationError
from haruon_tui.hardware import checks
from haruon_tui.hardware.gpus import Gpu
from haruon_tui.hardware.monitor import Sample
from haruon_tui.hardware.row import Row
from haruon_tui.jobs.store import State
from haruon_tui.screens.hardware import verdicts, worst
from haruon_tui.screens.widgets.monitor_strip import monitor_rows, sparkline

FINE = Row("git", "Git", "/usr/bin/git", "any version", "ok")
ODD = Row("swap", "Swap", "[red]없음[/]", "2 GiB", "warning", "sudo swapon /swapfile")
BAD = Row("ram", "Memory", "1 GiB", "4 GiB", "fails", "close other programs")


@pytest.fixture
def looks(monkeypatch):
    """The machine, as the test wants it to be; records who asked for which profile."""
    asked: list[str] = []
    rows = [FINE, ODD, BAD]

    def check(settings, workspace):
        asked.append(settings.profile)
        return list(rows)

    monkeypatch.setattr(checks, "check_machine", check)
    check.asked, check.rows = asked, rows
    return check


@pytest.mark.parametrize("size", [(80, 24), (200, 60)])
async def test_opening_checks_the_machine_in_words_and_symbols(
    make_app, until, text_of, looks, size
):
    app = make_app()
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: "✗ fails" in text_of(app))
        shown = text_of(app)
        assert "✓ ok" in shown
        assert "! warning" in shown
        assert "[red]없음[/]" in shown, "what a check found is text, not markup"
        assert "1 fails, 1 warning, 1 ok, for tiny" in shown
        assert "close other programs" in shown, "the row that fails is explained at once"
    assert looks.asked == ["tiny"]


async def test_a_wider_window_shows_what_to_do_beside_every_row(make_app, until, text_of, looks):
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "✗ fails" in text_of(app))
        assert "What to do" not in text_of(app)
        await pilot.resize_terminal(200, 60)
        await until(pilot, lambda: "What to do" in text_of(app))
        await until(pilot, lambda: ODD.do in text_of(app) and BAD.do in text_of(app))


async def test_the_chosen_row_is_explained_in_full(make_app, until, text_of, looks):
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "close other programs" in text_of(app))
        await pilot.press("up")
        await until(pilot, lambda: ODD.do in " ".join(text_of(app).split()))


async def test_c_checks_again_without_a_job(make_app, engine, until, text_of, looks):
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "✗ fails" in text_of(app))
        looks.rows.remove(BAD)
        await pilot.press("c")
        await until(pilot, lambda: "1 warning, 1 ok" in text_of(app))
        assert "✗ fails" not in text_of(app)
        assert not [asked for asked in engine.asked if asked[0] == "submit"]


async def test_a_check_that_cannot_be_made_says_why(make_app, until, text_of, monkeypatch):
    def refuse(settings, workspace):
        raise ConfigurationError("there is no profile 'x'")

    monkeypatch.setattr(checks, "check_machine", refuse)
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "✗ there is no profile 'x'" in text_of(app))


def test_what_cannot_be_read_is_not_available_and_breaks_nothing():
    unknown = Sample(0.0)
    mig = Sample(1.0, 5.0, [5.0], None, 8_000_000_000, gpus=[Gpu(0, "H100 MIG")])
    first = monitor_rows([unknown], 10)
    assert [row[0] for row in first] == ["CPU", "RAM", "GPU"]
    assert "N/A" in first[0][2]
    name, load, words, picture = monitor_rows([unknown, mig], 10)[-1]
    assert (name, load, picture.strip()) == ("GPU0", None, "")
    assert "N/A" in words
    assert "H100 MIG" in words


def test_a_driver_in_trouble_is_named():
    troubled = Sample(0.0, gpu_problem="NVML: driver/library version mismatch")
    assert "version mismatch" in monitor_rows([troubled], 10)[-1][2]


def test_the_picture_of_the_load_has_a_fixed_scale():
    assert sparkline([2.0, 3.0, 2.0], 4) == " ▁▁▁", "an idle machine looks idle"
    assert sparkline([0.0, None, 100.0], 3) == "▁ █"


def test_the_worst_row_comes_first_to_the_eye():
    assert worst([FINE, ODD, BAD]) == 2
    assert worst([FINE, ODD]) == 1
    assert worst([FINE, FINE]) == 0
    assert verdicts([FINE, BAD, FINE]) == "1 fails, 2 ok"


async def test_a_shows_problems_only_and_o_the_worst_first(make_app, until, text_of, looks):
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "✗ fails" in text_of(app))

        def titles() -> list[str]:
            return [
                row.title
                for line in text_of(app).splitlines()
                for row in (FINE, ODD, BAD)
                if row.title in line and any(mark in line[:12] for mark in "✓!✗")
            ][:3]

        await pilot.press("o")
        await until(pilot, lambda: titles()[:2] == ["Memory", "Swap"])
        await pilot.press("a")
        await until(pilot, lambda: "problems only" in text_of(app))
        assert "✓ ok" not in text_of(app)
        await pilot.press("a")
        await until(pilot, lambda: "✓ ok" in text_of(app))
        looks.rows[:] = [FINE]
        await pilot.press("a", "c")
        await until(pilot, lambda: "No problem was found." in text_of(app))


async def test_y_copies_what_to_do_one_after_the_other(make_app, until, text_of, looks):
    looks.rows[:] = [
        replace(BAD, commands=("haruon monitor",), settings=("train.batch_size = 1",))
    ]
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "✗ fails" in text_of(app))
        await pilot.press("y")
        await until(pilot, lambda: app.clipboard == "haruon monitor")
        await pilot.press("y")
        await until(pilot, lambda: app.clipboard == "train.batch_size = 1")
        await pilot.press("y")
        await until(pilot, lambda: app.clipboard == "haruon monitor")


@pytest.mark.parametrize("size", [(80, 24), (200, 60)])
async def test_b_measures_as_a_job_and_shows_the_figures_against_the_peak(
    make_app, engine, until, text_of, looks, size
):
    app = make_app()
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: "✗ fails" in text_of(app))
        await pilot.press("b")
        await until(pilot, lambda: ("submit", "selftest") in engine.asked)
        await until(pilot, lambda: "Measuring: the figures stand here" in text_of(app))
        asked = engine.asked.count(("submit", "selftest"))
        await pilot.press("b")
        await until(pilot, lambda: app.screen.has_class("-measured"))
        assert engine.asked.count(("submit", "selftest")) == asked, "one at a time"
        about = {"device": "GPU 0 (NVIDIA [b]H100[/])", "unit": "TFLOP/s"}
        measured = [
            about | {"what": "matrix product bf16", "value": 800.0, "peak": 1000, "note": "paper"},
            about | {"what": "matrix product fp32", "value": None, "problem": "no memory"},
        ]
        engine.add("selftest", State.FINISHED, result={"summary": "done", "measured": measured})
        engine.due = True
        await until(pilot, lambda: "80% of 1000" in text_of(app))
        assert "GPU 0 (NVIDIA [b]H100[/])" in text_of(app)
        assert "N/A: no memory" in text_of(app)
        assert "Peak: paper." in text_of(app)
        await pilot.press("v")
        await until(pilot, lambda: "✗ fails" in text_of(app))
