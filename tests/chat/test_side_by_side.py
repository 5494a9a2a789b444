"""Two or three models on the same question: real workers with real files, and a fake client where
the order of what is said matters."""

from __future__ import annotations

import json
import queue
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from haruon_tui.chat import votes
from haruon_tui.chat.client import ChatClient
from haruon_tui.chat.first_difference import first_differences
from haruon_tui.chat.models import check_memory, files_in, names_of, parse
from haruon_tui.chat.protocol import Done, Event, Failed, Loaded, Prompt, Token
from haruon_tui.chat.remote import Endpoint
from haruon_tui.chat.side_by_side import SideBySide
from haruon_tui.errors import ConfigurationError

ASK = [{"role": "user", "content": "안녕?"}]
SAMPLING = {"temperature": 0.0, "top_p": 0.95, "max_tokens": 40, "seed": 7}
WAIT = 30.0


class Heard:
    """A side by side whose events are taken in by hand."""

    def __init__(self, models: list[Any], **options: Any) -> None:
        self.events: queue.SimpleQueue[tuple[int, Event]] = queue.SimpleQueue()
        self.said: list[tuple[int, Event]] = []
        options = {"context": 512, "mode": "together"} | options
        self.compared = SideBySide(
            models, SAMPLING, hear=lambda *said: self.events.put(said), **options
        )

    def take(self) -> tuple[int, Event]:
        said = self.events.get(timeout=WAIT)
        self.said.append(said)
        self.compared.take(*said)
        return said

    def until(self, holds: Any) -> None:
        while not holds(self.compared):
            self.take()


@pytest.fixture
def heard() -> Iterator[Any]:
    made: list[Heard] = []

    def make(models: list[Any], **options: Any) -> Heard:
        made.append(Heard(models, **options))
        return made[-1]

    yield make
    for one in made:
        one.compared.close()
        one.compared.wait_closed(WAIT)


class FakeClient:
    """Does nothing by itself; the test speaks for it."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def launch(self) -> None:
        self.calls.append("launch")

    def ask(self, messages: Any, **sampling: Any) -> int:
        self.calls.append("ask")
        return 1

    def stop(self) -> None:
        self.calls.append("stop")

    def reset(self) -> None:
        self.calls.append("reset")

    def close(self) -> None:
        self.calls.append("close")


def fake(count: int = 2, **options: Any) -> SideBySide:
    """A loaded one with fake clients."""
    models = [Path(f"/models/secret{number}.gguf") for number in range(count)]
    options = {"context": 512, "mode": "together", "hear": lambda *_: None} | options
    compared = SideBySide(models, SAMPLING, connect=lambda *_: FakeClient(), **options)
    for number in range(count):
        compared.take(number, Loaded(0.1, "", 512))
    return compared


def answer(compared: SideBySide, number: int, *pieces: str) -> None:
    for piece in pieces:
        compared.take(number, Token(1, piece))
    compared.take(number, Done(1, "stop", 5, 0, len(pieces), 0.1, 9.0, 5.0))


@pytest.mark.parametrize("mode", ["together", "in turn"])
def test_two_files_answer_the_same_question_and_their_tokens_never_mix(
    heard: Any, short_answer: Path, endless_answer: Path, mode: str
) -> None:
    one = heard([short_answer, endless_answer], mode=mode)
    one.compared.open()
    for _ in range(2):
        one.compared.ask(ASK)
        one.until(lambda compared: compared.answered)
        texts = {column.model: column.text for column in one.compared.columns}
        assert texts == {short_answer: "한글", endless_answer: "ab" * 20}
    for number, event in one.said:
        if isinstance(event, Token):
            assert set(event.text) <= set(("한글", "ab")[number])


def test_in_turn_the_second_is_asked_when_the_first_has_ended(
    heard: Any, short_answer: Path, endless_answer: Path
) -> None:
    one = heard([endless_answer, short_answer], mode="in turn")
    one.compared.open()
    one.compared.ask(ASK)
    one.until(lambda compared: compared.answered)
    spoken = [n for n, event in one.said if isinstance(event, Prompt | Token | Done)]
    assert spoken == sorted(spoken)


def test_a_greedy_answer_is_the_same_alone_and_side_by_side_after_other_questions(
    heard: Any, random_words: Path, tmp_path: Path
) -> None:
    alone = ChatClient(random_words, context=512)
    with alone:
        said = "".join(e.text for e in alone.generate(ASK, **SAMPLING) if isinstance(e, Token))
    other = tmp_path / "copy.gguf"
    shutil.copy(random_words, other)
    for mode in ("together", "in turn"):
        one = heard([random_words, other], mode=mode)
        one.compared.open()
        for messages in ([{"role": "user", "content": "다른 물음"}], ASK):
            one.compared.ask(messages)
            one.until(lambda compared: compared.answered)
        assert said
        assert [column.text for column in one.compared.columns] == [said, said]
        assert one.compared.differences() == {}


def test_stop_ends_those_that_write_and_asks_those_that_wait_no_more(
    heard: Any, endless_answer: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.gguf"
    shutil.copy(endless_answer, other)
    one = heard([endless_answer, other], mode="in turn", context=8192)
    one.compared.sampling["max_tokens"] = 8000
    one.compared.open()
    one.compared.ask(ASK)
    one.until(lambda compared: compared.columns[0].pieces)
    one.compared.stop()
    one.until(lambda compared: not compared.busy)
    first, second = one.compared.columns
    assert first.done is not None
    assert first.done.reason == "stopped"
    assert (second.state, second.text) == ("ready", "")
    assert not one.compared.answered


def test_closing_frees_the_memory_of_both(
    heard: Any, short_answer: Path, endless_answer: Path
) -> None:
    before = set(psutil.Process().children())
    one = heard([short_answer, endless_answer])
    one.compared.open()
    one.until(lambda c: all(column.state == "ready" for column in c.columns))
    workers = [
        child
        for child in set(psutil.Process().children()) - before
        if "haruon_tui.chat.worker" in child.cmdline()
    ]
    assert len(workers) == 2
    assert all(worker.memory_info().rss > 10e6 for worker in workers)
    one.compared.close()
    one.compared.wait_closed(WAIT)
    assert not any(worker.is_running() for worker in workers)


def test_a_worker_that_dies_fails_alone_and_is_loaded_again_by_the_next_question(
    heard: Any, short_answer: Path, endless_answer: Path
) -> None:
    before = set(psutil.Process().children())
    one = heard([short_answer, endless_answer])
    one.compared.open()
    one.until(lambda c: all(column.state == "ready" for column in c.columns))
    first, second = one.compared.columns
    for child in set(psutil.Process().children()) - before:
        held = [mapped.path for mapped in child.memory_maps()]
        if str(short_answer) in held:
            child.send_signal(signal.SIGKILL)
    one.until(lambda _: first.state == "failed")
    assert "SIGKILL" in first.words
    one.compared.ask(ASK)
    one.until(lambda compared: compared.answered)
    assert (first.text, second.text[:4]) == ("한글", "abab")


def test_a_prompt_that_one_refuses_fails_there_and_keeps_its_worker(
    heard: Any, short_answer: Path, endless_answer: Path
) -> None:
    one = heard([short_answer, endless_answer], context=64)
    one.compared.open()
    one.compared.ask([{"role": "user", "content": "가" * 100}])
    one.until(lambda compared: not compared.busy)
    assert [column.state for column in one.compared.columns] == ["failed", "failed"]
    assert not any(column.lost for column in one.compared.columns)
    one.compared.ask(ASK)
    one.until(lambda compared: compared.answered)


def test_hidden_names_are_in_no_title_and_no_words_until_they_are_shown() -> None:
    compared = fake(3, blind=True)
    for number in range(3):
        compared.take(number, Failed("cannot load secret0.gguf", where="/models/secret0.gguf"))
    compared.ask(ASK)
    shown = [f(column) for column in compared.columns for f in (compared.title, compared.words)]
    assert not any("secret" in text for text in shown)
    assert [compared.title(column) for column in compared.columns] == ["A", "B", "C"]
    compared.show_names()
    assert sorted(column.name for column in compared.columns) == [
        f"secret{number}.gguf" for number in range(3)
    ]
    assert all("secret" in compared.title(column) for column in compared.columns)


def test_blind_every_question_draws_an_order_and_answers_stay_with_models() -> None:
    compared = fake(3, blind=True, order_seed=3)
    orders = set()
    for _ in range(20):
        compared.ask(ASK)
        for number in (2, 0, 1):
            answer(compared, number, f"answer {number}")
        assert all(column.text == f"answer {column.number}" for column in compared.columns)
        assert compared.answered
        orders.add(tuple(column.number for column in compared.columns))
    assert len(orders) == 6, "all orders of three come up"


def test_names_that_are_shown_are_in_the_order_they_were_given() -> None:
    compared = fake(3)
    compared.ask(ASK)
    assert [column.number for column in compared.columns] == [0, 1, 2]


def test_the_difference_starts_with_the_token_that_holds_it() -> None:
    same = ["그", "래", "요", "."]
    assert first_differences([same, ["그래", "서"]], [False, False]) == [2, 2]
    assert first_differences([["ab", "cd"], ["ab", "ce"]], [True, True]) == [2, 2]
    assert first_differences([["ab", "cd"], ["a", "bce"]], [True, True]) == [2, 1]
    assert first_differences([["", "", "한"], ["", "", "글"]], [True, True]) == [0, 0]
    assert first_differences([same, same], [True, True]) == [None, None]


def test_an_answer_under_way_that_is_the_start_of_another_does_not_differ_yet() -> None:
    assert first_differences([["a"], ["a", "b"]], [False, True]) == [None, None]
    assert first_differences([["a"], ["a", "b"]], [True, False]) == [1, 1]
    assert first_differences([[], ["a", "b"]], [False, False]) == [None, None]
    compared = fake()
    compared.ask(ASK)
    compared.take(0, Token(1, "a"))
    compared.take(1, Token(1, "b"))
    assert compared.differences() == {0: 0, 1: 0}


def test_one_model_or_four_cannot_be_compared() -> None:
    for count in (1, 4):
        with pytest.raises(ConfigurationError, match=f"{count} models"):
            fake(count)


def test_files_of_one_name_are_told_apart_by_their_run() -> None:
    runs = Path("/ws/runs")
    models = [
        runs / "monday-convert" / "artifacts" / "model.F16.gguf",
        runs / "friday-convert" / "artifacts" / "model.F16.gguf",
        Endpoint("http://localhost:1/v1", "served"),
    ]
    assert names_of(models) == [
        "model.F16.gguf (monday-convert)",
        "model.F16.gguf (friday-convert)",
        "served at http://localhost:1/v1",
    ]


@pytest.mark.parametrize("text", ["nothing.gguf", "rubbish.gguf", "."])
def test_what_is_no_model_is_refused_with_what_was_expected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("rubbish.gguf").write_bytes(b"rubbish")
    with pytest.raises(ConfigurationError) as refused:
        parse(text)
    assert refused.value.expected
    assert str(tmp_path) in str(refused.value.where)


def test_an_address_may_name_its_model() -> None:
    assert parse(" http://here/v1 qwen2 ") == Endpoint("http://here/v1", "qwen2")
    assert parse("https://here/v1") == Endpoint("https://here/v1", "")


def test_models_that_do_not_fit_into_memory_are_refused(tmp_path: Path) -> None:
    big = tmp_path / "big.gguf"
    with big.open("wb") as file:
        file.write(b"GGUF")
        file.truncate(psutil.virtual_memory().total)
    with pytest.raises(ConfigurationError, match=r"need .* GB together"):
        check_memory([big, big])
    check_memory([Endpoint("http://here/v1"), Endpoint("http://there/v1")])


def voted(compared: SideBySide, folder: Path, choice: str, reason: str = "") -> None:
    vote = votes.Vote(choice, reason, blind=compared.blind)
    votes.add(folder, votes.record(compared, vote))


def test_a_vote_is_kept_with_its_answers_and_a_reason_joins_it(tmp_path: Path) -> None:
    compared = fake()
    compared.ask(ASK)
    answer(compared, 0, "좋", "다")
    answer(compared, 1, "나쁘다")
    voted(compared, tmp_path, "A")
    voted(compared, tmp_path, "A", "짧다")
    (kept,) = votes.read(tmp_path)
    assert kept["reason"] == "짧다"
    assert kept["messages"] == ASK
    assert kept["sampling"]["seed"] == 7
    assert [one["text"] for one in kept["answers"]] == ["좋다", "나쁘다"]
    assert kept["model"] == {"path": "/models/secret0.gguf"}
    compared.ask(ASK)
    answer(compared, 0, "좋", "다")
    answer(compared, 1, "나쁘다")
    voted(compared, tmp_path, votes.NEITHER)
    scores = votes.scores(votes.read(tmp_path))
    assert [(score.chosen, score.compared) for score in scores] == [(1, 2), (0, 2)]


def test_votes_are_read_past_a_line_that_was_cut_off_and_one_that_is_none(tmp_path: Path) -> None:
    file = tmp_path / votes.FILE
    file.parent.mkdir()
    file.write_bytes(b'[1]\n{"format": 1}\n\xff\n{"format": 1, "round": "cut", "answ')
    compared = fake()
    compared.ask(ASK)
    answer(compared, 0, "a")
    answer(compared, 1, "b")
    voted(compared, tmp_path, "B")
    assert [vote["choice"] for vote in votes.read(tmp_path)] == ["B"]


def test_a_vote_that_is_said_to_be_kept_survives_kill_9(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path; from haruon_tui.chat import votes\n"
        "line = {'format': 1, 'round': 'r', 'choice': 'A', 'reason': '좋다', 'answers': [1]}\n"
        "votes.add(Path(sys.argv[1]), line)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    ended = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert [vote["reason"] for vote in votes.read(tmp_path)] == ["좋다"]
    assert json.loads((tmp_path / votes.FILE).read_text())["choice"] == "A"


def test_files_are_listed_without_those_under_way_and_folders_that_are_gone(
    tmp_path: Path,
) -> None:
    names = ["b.gguf", "a.gguf", ".c.gguf.part", ".d.gguf", "e.txt"]
    for name in names:
        (tmp_path / name).touch()
    found = files_in([tmp_path, tmp_path / "gone"])
    assert [path.name for path in found] == ["a.gguf", "b.gguf"]
