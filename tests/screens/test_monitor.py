from __future__ import annotations

import time
from dataclasses import replace

import pytest

from haruon_tui.hardware.gpus import Gpu
from haruon_tui.hardware.monitor import Monitor, Rates, Sample
from haruon_tui.jobs.store import State
from haruon_tui.screens import load
from haruon_tui.screens.widgets.load_strip import load_words
from haruon_tui.screens.widgets.monitor_rows import full_rows, spread

GB = 1_000_000_000
HOT = Gpu(
    0,
    "NVIDIA RTX 4090",
    24 * GB,
    23 * GB,
    97.0,
    "550.54",
    temperature=84.0,
    power=441.0,
    power_limit=450.0,
    clock=2520.0,
    throttle=("power cap",),
)
UNKNOWN = Gpu(1, "NVIDIA [bold]GB10[/]")
BUSY = Sample(
    1000.0, 37.0, [30.0, 44.0], 3 * GB, 24 * GB, 0, 0, Rates(1e6, 2e6, 3e6, 4e3), [HOT, UNKNOWN]
)


@pytest.fixture
def machine(monkeypatch):
    """The machine's load, as the test wants it to be."""
    now = [BUSY]

    def sample(self):
        if isinstance(now[0], Exception):
            raise now[0]
        return replace(now[0], time=time.time())

    monkeypatch.setattr(Monitor, "sample", sample)
    monkeypatch.setattr(load, "SECONDS", 0.05)
    return now


async def test_every_screen_shows_the_load_in_its_first_line(make_app, until, text_of, machine):
    app = make_app()
    async with app.run_test(size=(100, 24)) as pilot:
        await until(pilot, lambda: "CPU 37%" in text_of(app))
        for key in "234567":
            await pilot.press(key)
            await until(pilot, lambda: "CPU 37%" in text_of(app).splitlines()[0])
        machine[0] = replace(BUSY, cpu_percent=91.0)
        await until(pilot, lambda: "CPU 91%" in text_of(app).splitlines()[0])


@pytest.mark.parametrize("size", [(80, 24), (200, 60)])
async def test_m_opens_the_monitor_from_everywhere(
    make_app, engine, until, text_of, machine, size
):
    run = engine.add("train")
    app = make_app()
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: app.session.load.samples)
        engine.push(
            run,
            engine.status(State.RUNNING),
            {"kind": "resource", "cpu_percent": 187.0, "rss_bytes": 2 * GB, "gpu_bytes": 9 * GB},
        )
        await until(pilot, lambda: run.id in app.session.histories)
        await pilot.press("7", "m")
        wanted = (
            "GPU0", "97 %", "23.0 GB of 24.0 GB", "84 °C", "441 W of 450 W", "power cap",
            "[bold]GB10[/]", "throttled by: N/A", "187 %", "2.0 GB", "9.0 GB",
        )  # fmt: skip
        for words in wanted:
            await until(pilot, lambda words=words: words in text_of(app), words)
        assert "2.0 MB/s" in text_of(app)
        await pilot.press("escape")
        await until(pilot, lambda: app.current_mode == "chat" and len(app.screen_stack) == 1)


async def test_a_sampler_that_raises_is_shown_as_not_available(make_app, until, text_of, machine):
    machine[0] = RuntimeError("the driver is gone")
    app = make_app()
    async with app.run_test(size=(100, 24)) as pilot:
        await until(pilot, lambda: "CPU N/A" in text_of(app))
        await pilot.press("m")
        await until(pilot, lambda: "RuntimeError: the driver is gone" in text_of(app))
        machine[0] = BUSY
        await until(pilot, lambda: "84 °C" in text_of(app))


async def test_a_sample_that_comes_while_the_monitor_closes_harms_nothing(
    make_app, until, text_of, machine
):
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.session.load.samples)
        await pilot.press("m")
        await until(pilot, lambda: "Our jobs" in text_of(app))
        monitor = app.screen
        await pilot.press("escape")
        await until(pilot, lambda: not monitor.is_running)
        monitor.load_sampled()
        monitor.on_resize()


async def test_a_line_that_is_wrapped_hides_no_other_at_80_columns(
    make_app, until, text_of, machine
):
    machine[0] = replace(BUSY, gpus=[replace(HOT, throttle=()), UNKNOWN])
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.session.load.samples)
        await pilot.press("m")
        await until(pilot, lambda: "throttled by: N/A" in text_of(app))
        long = replace(HOT, throttle=("power cap", "too hot (hardware)", "sync boost"))
        machine[0] = replace(BUSY, gpus=[long, UNKNOWN])
        await until(pilot, lambda: "sync boost" in text_of(app))
        await until(pilot, lambda: "throttled by: N/A" in text_of(app), "the line of the next GPU")


def test_the_strip_takes_no_more_room_than_it_is_given():
    for room in range(80):
        assert len(load_words(BUSY, room)) <= room
    assert load_words(BUSY, 80) == "CPU 37%  RAM 3.0G/24G  GPU0 97% 23G/24G  GPU1 N/A N/A"
    assert load_words(BUSY, 46) == "CPU 37%  RAM 3.0G/24G  GPU0 97% 23G/24G +1"
    assert load_words(BUSY, 24) == "CPU 37%  RAM 3.0G/24G"


def test_a_picture_covers_its_span_and_shows_gaps_only_where_samples_are_missing():
    every_two_seconds = [(float(at), 50.0) for at in range(0, 61, 2)]
    assert spread(every_two_seconds, 0.0, 60.0, 60) == [50.0] * 60
    assert spread(every_two_seconds[15:], 0.0, 60.0, 4) == [None, None, 50.0, 50.0]
    assert spread([(0.0, 1.0), (59.0, 3.0)], 0.0, 60.0, 2) == [1.0, 3.0]
    assert spread([(30.0, None)], 0.0, 60.0, 2) == [None, None]


def test_nothing_known_gives_rows_of_not_available():
    rows = full_rows([Sample(0.0), Sample(2.0)], 60.0, 20)
    assert [row[0] for row in rows] == ["CPU", "RAM", "read", "write", "net ↓", "net ↑", "GPU"]
    assert all("N/A" in words for name, _, words, _ in rows if name != "GPU")
