from __future__ import annotations

import queue
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from haruon_tui.chat.protocol import Done, Event, Failed, Loaded, Prompt, Rendered, Token
from haruon_tui.errors import StageError

ASK = [{"role": "user", "content": "안녕?"}]
WAIT = 30.0


def text_of(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, Token))


def worker_of(process: psutil.Process) -> psutil.Process:
    (worker,) = [
        child
        for child in process.children()
        if child.status() != psutil.STATUS_ZOMBIE and "haruon_tui.chat.worker" in child.cmdline()
    ]
    return worker


def test_an_answer_comes_in_whole_characters_and_stops_by_itself(
    client: Any, short_answer: Path
) -> None:
    chat = client(short_answer, context=256)
    loaded = chat.start()
    assert loaded.context == 256
    assert loaded.seconds > 0
    assert "<|im_start|>" in loaded.template

    events = list(chat.generate(ASK))

    pieces = [event.text for event in events if isinstance(event, Token)]
    assert pieces == ["", "", "한", "", "", "글"]
    done = events[-1]
    assert isinstance(done, Done)
    assert (done.reason, done.generated_tokens, done.reused_tokens) == ("stop", 6, 0)
    assert done.prompt_tokens == sum(isinstance(e, Prompt) and e.total for e in events)
    assert 0 < done.time_to_first_token < WAIT
    assert done.tokens_per_second > 0
    assert done.prompt_tokens_per_second > 0


def test_a_cut_answer_ends_with_length_and_marks_the_half_character(
    client: Any, short_answer: Path
) -> None:
    chat = client(short_answer, context=256)
    chat.start()
    events = list(chat.generate(ASK, max_tokens=4))
    assert events[-1].reason == "length"
    assert text_of(events) == "한\ufffd"


def test_an_answer_ends_where_the_context_is_full(client: Any, endless_answer: Path) -> None:
    chat = client(endless_answer, context=256)
    chat.start()
    *_, done = chat.generate(ASK, max_tokens=100_000)
    assert done.reason == "length"
    assert done.prompt_tokens + done.generated_tokens == 256


def test_stop_ends_the_answer_between_tokens_and_the_worker_lives_on(
    client: Any, endless_answer: Path
) -> None:
    chat = client(endless_answer, context=8192)
    chat.start()
    events = []
    for event in chat.generate(ASK, max_tokens=8000):
        events.append(event)
        if len(events) == 5:
            chat.stop()
    assert events[-1].reason == "stopped"
    assert 3 <= events[-1].generated_tokens < 8000
    *_, done = chat.generate(ASK, max_tokens=3)
    assert (done.reason, done.generated_tokens) == ("length", 3)


def test_leaving_the_loop_stops_the_answer(client: Any, endless_answer: Path) -> None:
    seen: queue.SimpleQueue[Event] = queue.SimpleQueue()
    chat = client(endless_answer, context=8192, on_event=seen.put)
    chat.start()
    for event in chat.generate(ASK, max_tokens=8000):
        if isinstance(event, Token):
            break
    while not isinstance(event := seen.get(timeout=WAIT), Done):
        pass
    assert event.reason == "stopped"


def test_the_start_of_the_conversation_is_not_read_again_until_reset(
    client: Any, short_answer: Path
) -> None:
    chat = client(short_answer, context=512)
    chat.start()
    *_, first = chat.generate(ASK)
    longer = [*ASK, {"role": "assistant", "content": "한글"}, {"role": "user", "content": "?"}]
    *_, second = chat.generate(longer)
    assert second.reused_tokens >= first.prompt_tokens
    chat.reset()
    *_, third = chat.generate(longer)
    assert third.reused_tokens == 0
    assert third.prompt_tokens == second.prompt_tokens


def test_the_rendered_prompt_is_told_while_an_answer_is_under_way(
    client: Any, endless_answer: Path
) -> None:
    seen: queue.SimpleQueue[Event] = queue.SimpleQueue()
    chat = client(endless_answer, context=8192, on_event=seen.put)
    chat.start()
    chat.ask(ASK, max_tokens=8000)
    while not isinstance(seen.get(timeout=WAIT), Token):
        pass
    chat.render(ASK)
    while not isinstance(event := seen.get(timeout=WAIT), Rendered):
        assert isinstance(event, Token)
    assert event.text == "<|im_start|>user\n안녕?<|im_end|>\n<|im_start|>assistant\n"
    chat.stop()
    while not isinstance(done := seen.get(timeout=WAIT), Done):
        pass
    assert done.prompt_tokens == event.tokens
    assert done.memory_bytes > 10 << 20


def test_an_abort_ends_the_reading_in_the_middle_of_a_piece(random_words: Path) -> None:
    code = (
        "import sys\n"
        "from haruon_tui.chat.engine import Engine\n"
        "from haruon_tui.chat.protocol import Done, Generate, Load, Prompt, Sampling, Token\n"
        "engine = Engine(Load(sys.argv[1], 1024, 1))\n"
        "ask = Generate(1, [{'role': 'user', 'content': '가나다' * 40}], Sampling(9))\n"
        "said = []\n"
        "def aborts(then):\n"
        "    said.append(1)\n"
        "    if len(said) == 1:\n"
        "        engine.abort()\n"
        "    return then and len(said) > 1\n"
        "print([event.kind for event in engine.answer(ask, lambda: aborts(True))])\n"
        "text = lambda events: [e.text for e in events if isinstance(e, Token)]\n"
        "said.clear()\n"
        "again = text(engine.answer(ask, lambda: aborts(False)))\n"
        "engine.reset()\n"
        "print(again == text(engine.answer(ask, lambda: False)), len(again) > 3)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(random_words)], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["['done']", "True True"]


@pytest.mark.parametrize(
    ("stops", "shown"), [(["글"], "한"), (["한글x"], "한글"), (["글", "한"], ""), ([""], "한글")]
)
def test_an_answer_ends_before_a_stop_string(
    client: Any, short_answer: Path, stops: list[str], shown: str
) -> None:
    chat = client(short_answer, context=256)
    chat.start()
    events = list(chat.generate(ASK, stop=stops))
    assert text_of(events) == shown
    assert events[-1].reason == "stop"


def test_a_screen_hears_every_event_in_a_callback(client: Any, short_answer: Path) -> None:
    seen: queue.SimpleQueue[Event] = queue.SimpleQueue()
    chat = client(short_answer, context=256, on_event=seen.put)
    chat.launch()
    number = chat.ask(ASK)
    events = [seen.get(timeout=WAIT)]
    while not isinstance(events[-1], Done | Failed):
        events.append(seen.get(timeout=WAIT))
    assert isinstance(events[0], Loaded)
    assert text_of(events) == "한글"
    assert {event.id for event in events[1:]} == {number}  # type: ignore[union-attr]


def test_a_stop_reaches_an_answer_that_waits_its_turn(client: Any, endless_answer: Path) -> None:
    seen: queue.SimpleQueue[Event] = queue.SimpleQueue()
    chat = client(endless_answer, context=8192, on_event=seen.put)
    chat.start()
    numbers = [chat.ask(ASK, max_tokens=8000), chat.ask(ASK, max_tokens=8000)]
    chat.stop()
    done: list[Done] = []
    while len(done) < 2:
        event = seen.get(timeout=WAIT)
        if isinstance(event, Done):
            done.append(event)
    assert [one.id for one in done] == numbers
    assert {one.reason for one in done} == {"stopped"}
    assert done[1].generated_tokens == 0


def test_a_prompt_that_is_too_long_is_refused_and_the_worker_lives_on(
    client: Any, short_answer: Path
) -> None:
    chat = client(short_answer, context=64)
    chat.start()
    with pytest.raises(StageError, match="the context holds 64") as refused:
        list(chat.generate([{"role": "user", "content": "가" * 100}]))
    assert "chat.context" in (refused.value.do or "")
    assert text_of(list(chat.generate(ASK, max_tokens=9))) == "한글"


def test_messages_that_the_template_refuses_are_an_error(client: Any, short_answer: Path) -> None:
    chat = client(short_answer)
    chat.start()
    with pytest.raises(StageError, match="template"):
        list(chat.generate([{"role": "user"}]))


@pytest.mark.parametrize("spoil", ["missing", "rubbish", "cut"])
def test_a_file_that_is_no_model_is_a_clear_error(
    client: Any, short_answer: Path, tmp_path: Path, spoil: str
) -> None:
    path = tmp_path / "model.gguf"
    if spoil == "rubbish":
        path.write_bytes(b"no model at all" * 100)
    elif spoil == "cut":
        path.write_bytes(short_answer.read_bytes()[:-50_000])
    with pytest.raises(StageError) as failure:
        client(path).start()
    assert failure.value.where == str(path)
    assert failure.value.expected


def test_a_worker_that_dies_is_a_clear_error(client: Any, endless_answer: Path) -> None:
    seen: queue.SimpleQueue[Event] = queue.SimpleQueue()
    chat = client(endless_answer, context=8192, on_event=seen.put)
    chat.start()
    answer = chat.generate(ASK, max_tokens=8000)
    next(answer)
    worker_of(psutil.Process()).send_signal(signal.SIGKILL)
    with pytest.raises(StageError, match="SIGKILL") as death:
        list(answer)
    assert "chat.context" in (death.value.do or "")
    with pytest.raises(StageError, match="SIGKILL"):
        chat.ask(ASK)
    while not isinstance(event := seen.get(timeout=WAIT), Failed):
        pass
    assert "SIGKILL" in event.what


def test_the_last_words_of_a_dying_worker_are_passed_on(
    client: Any, short_answer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "llama_cpp.py").write_text("import os; os.write(2, b'ggml: no\\n'); os.abort()")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(StageError, match="SIGABRT: ggml: no"):
        client(short_answer).start()


def test_too_little_memory_is_told_from_a_bad_file(short_answer: Path) -> None:
    limited = """if True:
        import resource, sys
        from pathlib import Path
        from haruon_tui.chat.client import ChatClient
        from haruon_tui.errors import StageError
        resource.setrlimit(resource.RLIMIT_AS, (4 << 30, resource.RLIM_INFINITY))
        try:
            ChatClient(Path(sys.argv[1]), context=1 << 24).start()
        except StageError as error:
            print(error.what, error.do, sep="\\n")
    """
    done = subprocess.run(
        [sys.executable, "-c", limited, str(short_answer)],
        capture_output=True,
        text=True,
        check=True,
    )
    what, do = done.stdout.splitlines()
    assert "failed to allocate" in what
    assert "chat.context" in do


def test_closing_ends_the_worker_in_the_middle_of_an_answer(
    client: Any, endless_answer: Path
) -> None:
    chat = client(endless_answer, context=8192)
    chat.start()
    worker = worker_of(psutil.Process())
    answer = chat.generate(ASK, max_tokens=8000)
    next(answer)
    chat.close()
    chat.close()
    assert not worker.is_running()
    with pytest.raises(StageError, match="closed"):
        list(answer)


def test_the_worker_ends_when_its_client_is_killed(endless_answer: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from haruon_tui.chat.client import ChatClient\n"
        f"chat = ChatClient(Path({str(endless_answer)!r}), context=8192, threads=1)\n"
        "chat.start()\n"
        "for event in chat.generate([{'role': 'user', 'content': '?'}], max_tokens=8000):\n"
        "    print(event.kind, flush=True); sys.stdin.readline()\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert parent.stdout
        assert parent.stdout.readline() == b"prompt\n"
        worker = worker_of(psutil.Process(parent.pid))
    finally:
        parent.kill()
        parent.communicate()
    worker.wait(timeout=WAIT)


def test_the_client_imports_no_heavy_library() -> None:
    code = (
        "import sys; import haruon_tui.chat.client, haruon_tui.chat.stage\n"
        "print(sorted({'torch', 'transformers', 'llama_cpp', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
