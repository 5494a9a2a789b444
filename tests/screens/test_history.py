from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from haruon_tui.jobs.store import Run, State, Status
from haruon_tui.screens.history import MAX_LINES, History, duration
from haruon_tui.screens.plain_text import plain, plain_text
from haruon_tui.screens.widgets.job_panel import progress_bar

RUNNING = Status(State.RUNNING, 1, None, None, None)


def event(seq: int, kind: str, **fields: object) -> dict[str, object]:
    return {"v": 1, "seq": seq, "t": float(seq), "attempt": 1, "kind": kind, **fields}


def test_events_read_twice_count_once():
    history = History(Run(Path("r")), "train")
    events = [event(1, "log", text="a"), event(2, "metric", step=1, values={"loss": 2.0})]
    assert history.feed(events, RUNNING) == events
    assert history.feed([*events, event(3, "log", text="b")], RUNNING) == [
        event(3, "log", text="b")
    ]
    assert [line.text for line in history.lines] == ["a", "b"]
    assert history.points == 1


def test_a_long_log_keeps_its_end():
    history = History(Run(Path("r")), "train")
    history.feed([event(n, "log", text=str(n)) for n in range(1, MAX_LINES + 101)], RUNNING)
    assert len(history.lines) == MAX_LINES
    assert history.lines[-1].number == MAX_LINES + 100


def test_time_left_starts_again_with_a_new_phase():
    history = History(Run(Path("r")), "train")

    def progress(seq: int, done: float, phase: str) -> dict[str, object]:
        return event(seq, "progress", done=done, total=100, phase=phase, unit="steps")

    history.feed([progress(1, 0, "a"), progress(11, 50, "a")], RUNNING)
    assert history.remaining(11.0) == 10.0
    history.feed([progress(12, 0, "b")], RUNNING)
    assert history.remaining(12.0) is None
    history.feed([progress(14, 10, "b")], RUNNING)
    assert history.remaining(14.0) == 18.0


@given(st.text(alphabet=st.characters(codec=None), max_size=80))
def test_nothing_in_a_text_can_steer_the_terminal(text):
    shown = plain(text)
    assert not any((ord(c) < 32 and c != "\n") or 0x7F <= ord(c) <= 0x9F for c in shown)
    shown.encode("utf-8")


def test_escape_sequences_go_and_markup_stays():
    assert plain("\x1b[1;31m빨강\x1b[0m [red]x[/]\x1b]52;c;aGk=\x07") == "빨강 [red]x[/]"
    assert plain("10%\r20%") == "10%\n20%"
    assert plain_text("[bold]x").spans == []


def test_durations_and_bars():
    assert [duration(s) for s in (0.2, 59, 61, 3723)] == ["0 s", "59 s", "1:01", "1:02:03"]
    assert progress_bar(0.5, 8) == "████░░░░"
    assert progress_bar(7.0, 4) == "████"
