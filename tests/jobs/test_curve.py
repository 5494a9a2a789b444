"""The curve store: cut on going back, any stretch without reading it all, many points at once."""

from __future__ import annotations

import json
import math
import random
import time

import pytest

from haruon_tui.jobs.curve import Curves, gathered
from haruon_tui.jobs.events import EventReader, EventWriter, parse
from haruon_tui.jobs.news import NewsReader, news
from haruon_tui.jobs.series import Series


def metric(seq: int, step: int, attempt: int = 1, **values: float | str) -> dict:
    return {"kind": "metric", "seq": seq, "attempt": attempt, "step": step, "values": values}


def odd(count: int) -> list[float]:
    chooser = random.Random(7)
    values = [chooser.uniform(-5, 5) for _ in range(count)]
    for at in chooser.sample(range(count), count // 50):
        values[at] = chooser.choice([math.nan, math.inf, -math.inf])
    return values


@pytest.mark.parametrize("count", [1, 31, 33, 1025, 40_000])
def test_any_stretch_has_the_low_and_high_of_its_finite_values(count):
    values = odd(count)
    series = Series()
    for start in range(0, count, 777):  # as it grows
        part = values[start : start + 777]
        series.extend(range(start, start + len(part)), part)
    chooser = random.Random(1)
    for _ in range(200):
        start, end = sorted((chooser.randrange(count + 1), chooser.randrange(count + 1)))
        finite = [value for value in values[start:end] if math.isfinite(value)]
        found = series.stretch(start, end)
        if not finite:
            assert found is None
            continue
        assert (found.low, found.high) == (min(finite), max(finite))
        assert (found.first, found.last) == (finite[0], finite[-1])
        assert series.gap_between(start, end) == (len(finite) < end - start)


def test_after_a_cut_the_series_is_as_if_the_rest_had_never_been():
    values = odd(5000)
    series, fresh = Series(), Series()
    series.extend(range(5000), values)
    series.cut(3210)
    series.extend(range(3210, 4000), [9.0] * 790)
    fresh.extend(range(4000), values[:3210] + [9.0] * 790)
    assert list(series.gaps) == list(fresh.gaps)
    assert series.stretch(0, 4000) == fresh.stretch(0, 4000)
    assert series.stretch(1000, 3300) == fresh.stretch(1000, 3300)


def test_steps_after_the_checkpoint_are_superseded_at_once_and_the_restart_is_known():
    curves = Curves()
    first = [metric(step, step, loss=1.0) for step in range(1, 10)]
    first += [metric(20, 4, eval_loss=0.5), metric(21, 8, eval_loss=0.4)]
    curves.feed(first)
    curves.feed([metric(30, 6, attempt=2, loss=2.0)])
    assert curves.series("loss") == ([1, 2, 3, 4, 5, 6], [1, 1, 1, 1, 1, 2])
    assert curves.series("eval_loss") == ([4], [0.5])
    assert curves.restarts == [5]


def test_an_evaluation_made_up_for_after_a_resume_costs_no_point_of_the_loss():
    curves = Curves()
    curves.feed([metric(step, step, loss=1.0) for step in range(1, 9)])
    curves.feed([metric(20, 5, attempt=2, eval_loss=0.5), metric(21, 6, attempt=2, loss=2.0)])
    assert curves.series("loss") == ([1, 2, 3, 4, 5, 6], [1, 1, 1, 1, 1, 2])
    assert curves.series("eval_loss") == ([5], [0.5])


def test_going_back_within_an_attempt_supersedes_as_well():
    curves = Curves()
    curves.feed(metric(step, step, loss=1.0) for step in range(1, 9))
    curves.feed(metric(20 + step, step, loss=2.0) for step in range(5, 7))
    assert curves.series("loss") == ([1, 2, 3, 4, 5, 6], [1, 1, 1, 1, 2, 2])
    assert curves.restarts == [4]


def test_gathered_points_make_the_same_curves_and_keep_the_order():
    events = [metric(2 * s, s, loss=1.0 / s, rate="nan" if s == 4 else 0.1) for s in range(1, 9)]
    events.insert(4, metric(9, 4, eval_loss=0.4))
    events.insert(6, {"kind": "log", "seq": 11, "attempt": 1, "text": "x"})
    events += [metric(40 + s, s, attempt=2, loss=5.0, rate=0.2) for s in range(5, 7)]
    one, other = Curves(), Curves()
    one.feed(events)
    many = gathered(events)
    other.feed(many)
    for name in ("loss", "eval_loss", "rate"):
        assert repr(one.series(name)) == repr(other.series(name))
    assert one.restarts == other.restarts == [4]
    assert one.points == other.points == len(events) - 1
    assert len(many) < len(events)
    assert [e["seq"] for e in many] == sorted(e["seq"] for e in many)


def test_a_metric_that_is_no_metric_costs_only_itself():
    bad = [
        {"kind": "metric", "seq": 2, "attempt": 1, "step": "x", "values": {"loss": 1.0}},
        {"kind": "metric", "seq": 3, "attempt": 1, "step": 2, "values": None},
        metric(4, 3, loss="not a number"),
        metric(5, 4, loss=[1]),
    ]
    for events in (bad, gathered(bad)):
        curves = Curves()
        curves.feed([metric(1, 1, loss=1.0), *events, metric(6, 5, loss=2.0)])
        assert repr(curves.series("loss")) == "([1, 3, 4, 5], [1.0, nan, nan, 2.0])"


def lines(events: list[dict]) -> bytes:
    """As the writer of a log writes them."""
    return b"".join(
        json.dumps({"v": 1, "seq": n, "t": 1.5, "attempt": 1, **event}).encode() + b"\n"
        for n, event in enumerate(events, start=1)
    )


def log_events(count: int) -> list[dict]:
    found = []
    for step in range(1, count):
        values = {"loss": 1.0 / step if step % 7 else "nan", "rate": 0.5}
        found.append({"kind": "metric", "step": step, "values": values})
        found.append({"kind": "progress", "done": step, "total": count})
        if step % 50 == 0:
            found.append({"kind": "metric", "step": step, "values": {"eval_loss": 0.1}})
            found.append({"kind": "log", "text": 'says "kind": "metric", "step": 1'})
    return found


@pytest.mark.parametrize(
    "change",
    [
        lambda events: events,
        lambda events: events + [{**event, "attempt": 2} for event in events[-30:]],
        lambda events: events + events[-30:],
        lambda events: [*events, {"kind": "metric", "step": 9, "values": {"loss": "rubbish"}}],
        lambda events: [*events, {"kind": "metric", "step": "x", "values": {"loss": 1.0}}],
        lambda events: [{"kind": "metric", "step": 1, "values": {}}, *events],
        lambda events: [{"kind": "metric", "step": 1, "values": {"한글 {}, :": 1.0}}, *events],
        lambda events: [*events, {"kind": "metric", "step": 10**6, "values": {"loss": -2}}],
    ],
    ids=["plain", "resumed", "back", "rubbish", "step", "empty", "name", "integer"],
)
def test_read_for_the_screens_a_log_is_the_same_curves(change):
    text = lines(change(log_events(400)))
    slow, quick = Curves(), Curves()
    slow.feed(parse(text.splitlines()))
    found = news(text)
    quick.feed(found)
    assert quick.names == slow.names or set(quick.names) == set(slow.names)
    for name in slow.names:
        assert repr(quick.series(name)) == repr(slow.series(name))
    assert quick.restarts == slow.restarts
    assert len([event for event in found if event["kind"] == "log"]) == 7
    assert [event["seq"] for event in found] == sorted(event["seq"] for event in found)


def test_a_log_is_read_once_and_of_its_progress_only_the_last(tmp_path):
    log = tmp_path / "events.jsonl"
    writer = EventWriter(log, attempt=1)
    for step in range(1, 3000):
        writer.write("metric", step=step, values={"loss": 1.0})
        writer.write("progress", done=step, total=3000, phase="training", unit="steps")
    with log.open("ab") as stream:
        stream.write(b"rubbish\n")
    reader = NewsReader(log)
    found = reader.read()
    curves = Curves()
    curves.feed(found)
    assert curves.series("loss")[0] == list(range(1, 3000))
    assert len(found) < 20
    assert [event["done"] for event in found if event["kind"] == "progress"] == [2999]
    assert reader.read() == []
    assert len(EventReader(log).read()) == 2 * 2999


def test_two_hundred_thousand_points_are_searched_in_no_time():
    series = Series()
    series.extend(range(200_000), [float(n % 977) for n in range(200_000)])
    started = time.perf_counter()
    for column in range(400):
        series.stretch(column * 500, column * 500 + 500)
    assert time.perf_counter() - started < 0.2
