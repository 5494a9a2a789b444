"""The reader process as the screen uses it."""

from __future__ import annotations

import json
import os
import signal
import time

import pytest

from haruon_tui.dataset.browser import searching
from haruon_tui.dataset.browser.searching import Searching


def test_rows_and_records_show_what_a_line_is(open_file, dataset):
    reading = open_file(dataset)
    reading.until_indexed()
    rows = reading.get("rows", first=0, count=50)["rows"]
    assert len(rows) == 12
    assert rows[0]["words"].startswith("쉬는 날엔")
    assert rows[0]["levels"] == [4, 6, 3, 7, 5]
    start = sum(len(line) for line in dataset.read_bytes().splitlines(keepends=True)[:3])
    assert rows[3]["verdict"] == "unreadable"
    assert f"byte {start + 200}"[:7] in rows[3]["bad"]
    record = reading.get("record", line=2)
    assert [part["name"] for part in record["parts"]][:3] == ["system", "user", "assistant"]
    assert reading.ask("record", line=99)["error"]["what"] == "there is no line 100 of 12"


def test_checks_fill_filters_sorts_and_histograms(open_file, dataset):
    reading = open_file(dataset)
    reading.get("configure", rules="calibrated", tokenizer=None)
    reading.get("record", line=1)
    reading.until(lambda: reading.status.get("checked") == 12)
    reading.until(lambda: [e for e in reading.events if e["event"] == "findings"])
    findings = next(e for e in reading.events if e["event"] == "findings")
    assert findings["line"] == 1
    found = next(f for f in findings["findings"] if f["rule"] == "diagnosing")
    text = json.loads(dataset.read_text("utf-8").splitlines()[1])["messages"][2]["content"]
    assert "진단" in text[found["start"] : found["end"]]
    assert reading.status["verdicts"]["unreadable"] == 1
    reading.get("show", filter={"rule": "diagnosing"}, sort="line", descending=False)
    assert reading.shown() == [1]
    reading.get("show", filter={"verdict": "good"}, sort="tokens", descending=True)
    tokens = [row["tokens"] for row in reading.get("rows", first=0, count=20)["rows"]]
    assert len(tokens) == 10
    assert tokens == sorted(tokens, reverse=True)
    reading.get("show", filter={}, sort="line", descending=False)
    counts = reading.get("histograms")
    assert sum(count for *_, count in counts["tokens"]) == 11
    assert sum(counts["levels"]["openness"]) == 12
    reading.get("change", line=1, text=dataset.read_text("utf-8").splitlines()[0])
    reading.until(lambda: reading.status["rules"].get("diagnosing", 0) == 0)


def test_search_counts_and_steps_in_the_order_that_is_shown(open_file, dataset):
    reading = open_file(dataset)
    reading.until_indexed()
    wanted = [
        number
        for number, line in enumerate(dataset.read_text("utf-8").splitlines())
        if "사람" in line
    ]
    assert len(wanted) > 2
    reading.get("search", text="사람", regex=False)
    reading.until(lambda: reading.status["search"] and reading.status["search"]["done"])
    assert reading.status["search"]["count"] == len(wanted)
    first = reading.get("seek", position=-1, step=1)
    assert (first["position"], first["rank"]) == (wanted[0], 1)
    back = reading.get("seek", position=wanted[0], step=-1)
    assert (back["position"], back["wrapped"]) == (wanted[-1], True)
    reading.get("show", filter={}, sort="line", descending=True)
    assert reading.get("seek", position=-1, step=1)["position"] == 11 - wanted[-1]
    assert "regular expression" in reading.ask("search", text="(", regex=True)["error"]["what"]


def test_a_search_asked_at_once_reaches_what_is_not_indexed_yet(open_file, tmp_path):
    path = tmp_path / "long.jsonl"
    path.write_text('{"text": "' + "글" * 1000 + '"}\n', "utf-8")
    path.write_text(path.read_text("utf-8") * 2000 + '{"text": "끝"}\n', "utf-8")
    reading = open_file(path)
    reading.get("search", text="끝", regex=False)
    reading.until_indexed()
    reading.until(lambda: reading.status["search"]["done"])
    assert reading.get("seek", position=0, step=0)["position"] == 2000


def test_hits_stay_right_when_records_are_changed(open_file, dataset):
    lines = dataset.read_text("utf-8").splitlines()
    wanted = [number for number, line in enumerate(lines) if "사람" in line]
    other = next(number for number in range(12) if number not in wanted)
    assert other < wanted[-1]
    reading = open_file(dataset)
    reading.until_indexed()
    reading.get("search", text="사람", regex=False)
    reading.until(lambda: reading.status["search"] and reading.status["search"]["done"])

    def hits() -> list[int]:
        first = reading.get("seek", position=-1, step=1)
        found, at = [], first["position"]
        for _ in range(first["count"]):
            found.append(at)
            at = reading.get("seek", position=at, step=1)["position"]
        return found

    assert hits() == wanted
    for text in ('{"text": "' + "길다" * 3000 + '"}', '{"text": ""}'):
        reading.get("change", line=other, text=text)
        assert hits() == wanted
    reading.get("change", line=other, text='{"text": "사람"}')
    assert hits() == sorted([*wanted, other])
    reading.get("change", line=wanted[0], text='{"text": "없다"}')
    assert hits() == sorted([*wanted[1:], other])
    for _ in range(4):
        reading.get("undo")
    assert hits() == wanted


def test_checks_asked_before_a_change_do_not_speak_of_the_text_after_it(open_file, dataset):
    lines = dataset.read_text("utf-8").splitlines()
    reading = open_file(dataset)
    reading.until_indexed()
    reading.get("configure", rules="calibrated", tokenizer=None)
    reading.get("record", line=5)
    reading.get("change", line=0, text='{"text": "' + "길다" * 3000 + '"}')
    reading.get("undo")
    reading.get("change", line=0, text=lines[5])
    reading.until(lambda: reading.status.get("checked") == 12)
    verdicts = reading.status["verdicts"]
    assert (verdicts["good"], verdicts["errors"], verdicts["unreadable"]) == (10, 1, 1)
    reading.until(lambda: any(event["event"] == "findings" for event in reading.events))


def test_an_expression_that_is_stuck_is_ended_and_says_where(monkeypatch, tmp_path):
    monkeypatch.setattr(searching, "STUCK_SECONDS", 0.5)
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": "b"}\n{"a": "' + "a" * 40 + '!"}\n')
    calls = []
    search = Searching(calls.append)
    search.start(str(path), path.stat().st_size, "(a+)+$", True, [])
    deadline = time.monotonic() + 10
    while not search.done:
        assert time.monotonic() < deadline
        while calls:
            calls.pop(0)()
        search.watch()
        time.sleep(0.01)
    assert "over" in search.problem
    assert search._child is None


def test_lines_that_are_still_being_written_appear_and_half_a_line_does_not(open_file, dataset):
    lines = dataset.read_bytes().splitlines(keepends=True)
    dataset.write_bytes(b"".join(lines[:2]) + lines[2][:50])
    reading = open_file(dataset)
    reading.until_indexed()
    reading.until(lambda: "still being written" in reading.status["note"])
    assert reading.shown() == [0, 1]
    with dataset.open("ab") as stream:
        stream.write(lines[2][50:] + b"".join(lines[4:6]))
        stream.flush()
        reading.until(lambda: reading.status["lines"] == 5)
        assert reading.status["note"] == ""
        saved = reading.get("change", line=0, text='{"a": 1}')
        assert saved["beside"].endswith("자료.jsonl.edits.jsonl"), "its writer holds the file open"
    assert dataset.read_bytes().startswith(lines[0])


def test_a_last_line_without_newline_is_a_record_when_it_is_whole(open_file, dataset):
    dataset.write_bytes(dataset.read_bytes().rstrip(b"\n"))
    reading = open_file(dataset)
    reading.until_indexed()
    assert len(reading.shown()) == 12


def test_a_line_that_was_cut_off_long_ago_is_shown_with_its_reason(open_file, dataset):
    dataset.write_bytes(dataset.read_bytes()[:-100])
    os.utime(dataset, (1, 1))
    reading = open_file(dataset)
    reading.until_indexed()
    assert reading.get("rows", first=11, count=1)["rows"][0]["verdict"] == "unreadable"


@pytest.mark.parametrize("how", ["renamed over", "shortened"])
def test_a_file_that_is_replaced_is_opened_again(open_file, dataset, how):
    reading = open_file(dataset)
    reading.until_indexed()
    lines = dataset.read_bytes().splitlines(keepends=True)
    if how == "renamed over":
        other = dataset.with_name("other.jsonl")
        other.write_bytes(b"".join(lines * 2))
        other.replace(dataset)
        count = 24
    else:
        dataset.write_bytes(b"".join(lines[:5]))
        count = 5
    reading.until(lambda: any(event["event"] == "reopened" for event in reading.events))
    reading.until(lambda: reading.status["lines"] == count and reading.status["indexed"])
    assert len(reading.shown()) == count


RUBBISH = {
    "empty": (b"", 0),
    "BOM": (b'\xef\xbb\xbf{"a": 1}\n{"a": 2}\n', 2),
    "UTF-16": ('{"a": 1}\n'.encode("utf-16"), None),
    "CP949": ('{"a": "한글"}\n'.encode("cp949") + b'{"a": 2}\n', 1),
    "CRLF": (b'{"a": 1}\r\n{"a": 2}\r\n', 2),
    "NUL": (b'{"a": 1}\n\0\0\0\n{"a": 2}\n', 2),
    "deep nesting": (b'{"a": ' + b"[" * 50_000 + b"]" * 50_000 + b'}\n{"a": 2}\n', 1),
    "duplicate keys": (b'{"a": 1, "a": 2}\n{"a": 2}\n', 1),
    "NaN": (b'{"a": NaN}\n{"a": 2}\n', 1),
    "wrong types": (b'{"messages": 7}\n{"messages": [1, {"role": []}]}\n{"messages": {}}\n', 3),
    "lone surrogate": (b'{"messages": [{"role": "user", "content": "\\ud800"}]}\n', 1),
    "escapes": (b'{"a": "\\u001b[31m\\u0007"}\n', 1),
    "a picture": (bytes(range(256)) * 40, None),
    "a pretty array": (b'[\n  {"a": 1},\n  {"a": 2}\n]\n', None),
    "a long line": (b'{"a": "' + b"x" * (20 << 20) + b'"}\n{"a": 2}\n', 1),
}


def test_rubbish_is_shown_with_its_reason_and_good_records_stay_usable(open_file, tmp_path):
    for name, (content, good) in RUBBISH.items():
        path = tmp_path / f"{name}.jsonl"
        path.write_bytes(content)
        os.utime(path, (1, 1))
        reading = open_file(path)
        reading.until_indexed()
        rows = reading.get("rows", first=0, count=100)["rows"]
        for row in rows:
            assert reading.get("record", line=row["line"])["line"] == row["line"]
            assert not row["bad"] or "byte" in row["bad"] or row["bad"] == "blank line", name
        if good is not None:
            assert sum(not row["bad"] for row in rows) == good, name
        reading.client.close()


def test_the_checks_take_rubbish_too(open_file, tmp_path):
    path = tmp_path / "all.jsonl"
    path.write_bytes(b"".join(content for content, _ in RUBBISH.values() if len(content) < 1000))
    os.utime(path, (1, 1))
    reading = open_file(path)
    reading.get("configure", rules="calibrated", tokenizer=None)
    reading.until(lambda: 0 < reading.status.get("checked", 0) == reading.status["lines"])
    assert reading.status["problem"] == ""


def test_what_is_no_file_is_refused_with_the_reason(open_file, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "missing", "."):
        reading = open_file(tmp_path / name)
        reading.until(lambda reading=reading: reading.events)
        error = reading.events[0]["error"]
        assert error["where"]
        assert error["what"]


def test_what_was_answered_survives_a_kill_of_the_reader(open_file, dataset):
    before = dataset.read_bytes()
    text = '{"text": "새 글"}'
    after = text.encode() + b"\n" + before.split(b"\n", 1)[1]
    for steps, left in (([], after), (["undo"], before), (["undo", "redo"], after)):
        dataset.write_bytes(before)
        reading = open_file(dataset)
        reading.until_indexed()
        reading.get("change", line=0, text=text)
        for step in steps:
            reading.get(step)
        os.kill(reading.client.pid, signal.SIGKILL)
        reading.until(lambda reading=reading: reading.events[-1]["event"] == "ended")
        assert dataset.read_bytes() == left


def test_the_reader_ends_with_its_client_and_its_end_is_told(open_file, dataset):
    reading = open_file(dataset)
    reading.until_indexed()
    process = reading.client._child._process
    reading.client.close()
    assert process.wait(5) == 0
    other = open_file(dataset)
    other.until_indexed()
    os.kill(other.client.pid, signal.SIGKILL)
    other.until(lambda: other.events[-1]["event"] == "ended")
    assert "SIGKILL" in other.events[-1]["words"]
    assert "has ended" in other.ask("rows", first=0, count=1)["error"]["what"]


def test_what_was_checked_is_known_again(open_file, tmp_path, golden_lines):
    path = tmp_path / "many.jsonl"
    path.write_text('{"messages": []}\n' * 1100, "utf-8")
    first = open_file(path)
    first.get("configure", rules="calibrated", tokenizer=None)
    first.until(lambda: first.status.get("checked") == 1100)
    first.until(lambda: list((tmp_path / "cache" / "browser").glob("*.npz")))
    again = open_file(path)
    again.get("configure", rules="calibrated", tokenizer=None)
    again.until(lambda: again.status.get("checked") == 1100, seconds=1.5)
