"""The event log survives being killed in the middle of a line."""

from __future__ import annotations

import math

import pytest

from haruon_tui.jobs.curve import Curves
from haruon_tui.jobs.events import EventReader, EventWriter, tail


@pytest.fixture
def log(tmp_path):
    return tmp_path / "events.jsonl"


def test_a_partial_last_line_is_end_of_file_and_read_once_it_is_whole(log):
    writer = EventWriter(log, attempt=1)
    writer.write("log", text="첫째")
    reader = EventReader(log)
    with log.open("ab") as stream:
        stream.write(b'{"v": 1, "seq": 2, "attempt": 1, "kind": "log", "te')
    assert [e["text"] for e in reader.read()] == ["첫째"]
    assert reader.read() == []
    with log.open("ab") as stream:
        stream.write('xt": "둘째"}\n'.encode())
    assert [e["text"] for e in reader.read()] == ["둘째"]


def test_the_next_attempt_cuts_the_partial_line_and_counts_on(log):
    first = EventWriter(log, attempt=1)
    first.write("log", text="a")
    first.close()
    with log.open("ab") as stream:
        stream.write(b'{"v": 1, "seq": 2, "kin')
    second = EventWriter(log, attempt=2)
    second.write("log", text="b")
    assert [(e["seq"], e["attempt"], e["text"]) for e in EventReader(log).read()] == [
        (1, 1, "a"),
        (2, 2, "b"),
    ]


def test_a_log_has_one_writer(log):
    writer = EventWriter(log, attempt=1)
    with pytest.raises(BlockingIOError):
        EventWriter(log, attempt=2)
    writer.write("log", text="mine")


def test_nothing_follows_the_end_of_an_attempt(log):
    writer = EventWriter(log, attempt=1)
    writer.write("stopped")
    writer.write("resource", cpu_percent=1.0)
    assert [e["kind"] for e in EventReader(log).read()] == ["stopped"]


def test_nan_and_infinities_survive_the_log(log):
    EventWriter(log, attempt=1).write("metric", step=1, values={"a": math.nan, "b": -math.inf})
    curves = Curves()
    curves.feed(EventReader(log).read())
    assert math.isnan(curves.last("a"))
    assert curves.last("b") == -math.inf


def test_an_event_larger_than_the_tail_is_still_the_last_one(log):
    first = EventWriter(log, attempt=1)
    first.write("log", text="before")
    first.write("finished", result={"rows": ["x" * 1000] * 400})
    first.close()
    assert [event["kind"] for event in tail(log)][-1] == "finished"
    EventWriter(log, attempt=2).write("log", text="after")
    assert tail(log)[-1]["seq"] == 3


def test_the_tail_of_a_long_log_is_whole_events(log):
    writer = EventWriter(log, attempt=1)
    for step in range(3000):
        writer.write("metric", step=step, values={"loss": 1.0})
    steps = [e["step"] for e in tail(log)]
    assert steps[-1] == 2999
    assert steps == list(range(steps[0], 3000))


def test_rubbish_in_a_log_is_passed_over(log):
    log.write_bytes(
        b"\xff\xfe\n[1]\nnull\n{}\n" + b'{"seq":1,"attempt":1,"kind":"log","text":"x"}\n'
    )
    assert [e["text"] for e in EventReader(log).read()] == ["x"]


def test_a_resumed_curve_has_every_step_once_from_the_last_attempt():
    curves = Curves()
    for attempt, steps in ((1, (1, 2, 3, 4)), (2, (3, 4, 5))):
        curves.feed(
            {"kind": "metric", "attempt": attempt, "step": s, "values": {"loss": attempt}}
            for s in steps
        )
    assert curves.series("loss") == ([1, 2, 3, 4, 5], [1, 1, 2, 2, 2])
