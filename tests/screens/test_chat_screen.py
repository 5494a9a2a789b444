from __future__ import annotations

import threading
from pathlib import Path

import pytest
from textual.widgets import Input, Select

from haruon_tui import artifacts
from haruon_tui.chat.protocol import Done, Failed, Loaded, Prompt, Rendered, Token
from haruon_tui.dataset import records
from haruon_tui.dataset.persona import SYSTEM_PROMPT, TRAITS
from haruon_tui.errors import StageError
from haruon_tui.jobs.store import State
from haruon_tui.screens import clipboard, conversation
from haruon_tui.screens.conversation import Conversation, timings
from haruon_tui.settings import ChatSettings, default_settings

DONE = Done(0, "stop", 100, 0, 7, 0.25, 900.0, 123.4)


class FakeClient:
    """A worker that says what the test makes it say."""

    made: list[FakeClient]

    def __init__(self, path: Path, settings: ChatSettings, on_event) -> None:
        self.path, self.settings, self.say = path, settings, on_event
        self.asked: list[list[dict[str, str]]] = []
        self.sampling: list[dict[str, object]] = []
        self.rendered: list[list[dict[str, str]]] = []
        self.calls: list[str] = []
        self.made.append(self)

    def launch(self) -> None:
        self.calls.append("launch")

    def ask(self, messages, **sampling) -> int:
        self.asked.append(messages)
        self.sampling.append(sampling)
        return len(self.asked)

    def render(self, messages) -> None:
        self.rendered.append(messages)

    def stop(self) -> None:
        self.calls.append("stop")

    def close(self) -> None:
        self.calls.append("close")

    def ready(self) -> None:
        self.say(Loaded(0.5, "template", 2048))

    def answer(self, *pieces: str, done: Done | None = DONE) -> None:
        for piece in pieces:
            self.say(Token(1, piece))
        if done:
            self.say(done)


@pytest.fixture
def clients(monkeypatch) -> list[FakeClient]:
    made: list[FakeClient] = []
    monkeypatch.setattr(FakeClient, "made", made, raising=False)
    monkeypatch.setattr(conversation, "connect_to", FakeClient)
    return made


@pytest.fixture
def models(engine) -> None:
    """Two quantized files and the F16 one."""
    for stage, types in (("convert", ["F16"]), ("quantize", ["Q4_0", "Q4_K_M"])):
        run = engine.add(stage, State.FINISHED, result={"summary": "made"})
        run.artifacts.mkdir(parents=True)
        for kind in types:
            (run.artifacts / f"model.{kind}.gguf").write_bytes(b"GGUF" * 300_000)


@pytest.fixture
def open_chat(until):
    async def opened(app, pilot):
        await until(pilot, lambda: app.session.ready)
        await pilot.press("7")
        await until(pilot, lambda: app.current_mode == "chat")
        await until(pilot, lambda: app.screen.conversation.model)

    return opened


async def test_without_a_model_it_says_which_stage_makes_one(make_app, clients, until, text_of):
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.session.ready)
        await pilot.press("7")
        await until(pilot, lambda: "R runs every stage" in text_of(app))
        assert "quantize" in text_of(app)
        await pilot.press("i", "x", "enter")
        assert clients == []


async def test_letters_and_digits_are_typed_and_esc_gives_the_keys_back(
    make_app, clients, models, open_chat, until
):
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await open_chat(app, pilot)
        await pilot.press("i", "9", "q", "R", "question_mark", "성", "격")
        prompt = app.screen.query_one("#prompt")
        assert prompt.text == "9qR?성격"
        assert app.current_mode == "chat"
        await pilot.press("escape", "9")
        await until(pilot, lambda: app.current_mode == "jobs")


async def test_a_question_loads_the_preferred_model_and_the_answer_streams_in(
    make_app, clients, models, open_chat, until, text_of
):
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await open_chat(app, pilot)
        assert clients == [], "nothing is loaded before a question"
        await pilot.press("i", "안", "녕", "enter")
        await until(pilot, lambda: clients and clients[0].calls == ["launch"])
        worker = clients[0]
        assert worker.path.name == "model.Q4_K_M.gguf"
        assert worker.asked == []
        worker.ready()
        await until(pilot, lambda: worker.asked)
        assert worker.asked[0] == [
            {"role": "system", "content": SYSTEM_PROMPT},
            {"role": "user", "content": "안녕"},
        ]
        worker.say(Prompt(1, 32, 100))
        await until(pilot, lambda: "reading the prompt, 32/100" in text_of(app))
        worker.answer("## 리포트 ", "[b]굵게[/b] \x1b[31m빨강", done=None)
        await until(pilot, lambda: "## 리포트 [b]굵게[/b] 빨강▌" in text_of(app))
        worker.answer()
        await until(
            pilot,
            lambda: (
                "[7 tokens, first after 0.25 s, 123.4 tokens/s, ended by itself" in text_of(app)
            ),
        )
        assert "▌" not in text_of(app)


async def test_the_model_is_told_what_was_said_before_and_a_new_conversation_forgets(
    make_app, clients, models, open_chat, until, text_of
):
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await open_chat(app, pilot)
        await pilot.press("i", "a", "enter")
        await until(pilot, lambda: clients)
        clients[0].ready()
        await until(pilot, lambda: clients[0].asked)
        clients[0].answer("하나")
        await until(pilot, lambda: "ended by itself" in text_of(app))
        await pilot.press("b", "enter")
        await until(pilot, lambda: len(clients[0].asked) == 2)
        assert [m["content"] for m in clients[0].asked[1][1:]] == ["a", "하나", "b"]
        clients[0].answer("둘")
        await until(pilot, lambda: not app.screen.conversation.busy)
        await pilot.press("ctrl+n", "c", "enter")
        await until(pilot, lambda: len(clients[0].asked) == 3)
        assert [m["content"] for m in clients[0].asked[2][1:]] == ["c"]
        await until(pilot, lambda: "하나" not in text_of(app), "still on the screen")


async def test_esc_stops_the_answer(make_app, clients, models, open_chat, until, text_of):
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await open_chat(app, pilot)
        await pilot.press("i", "a", "enter")
        await until(pilot, lambda: clients)
        clients[0].ready()
        await until(pilot, lambda: clients[0].asked)
        clients[0].answer("반쯤", done=None)
        await pilot.press("escape")
        await until(pilot, lambda: "stop" in clients[0].calls)
        clients[0].answer(done=Done(1, "stopped", 9, 0, 1, None, None, None))
        await until(pilot, lambda: "[1 tokens, stopped; prompt 9 tokens]" in text_of(app))
        assert "반쯤" in text_of(app)


async def test_a_dead_worker_is_one_line_and_the_conversation_stays(
    make_app, clients, models, open_chat, until, text_of
):
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await open_chat(app, pilot)
        await pilot.press("i", "a", "enter")
        await until(pilot, lambda: clients)
        clients[0].ready()
        await until(pilot, lambda: clients[0].asked)
        clients[0].answer("반쯤", done=None)
        clients[0].say(Failed("the chat worker was ended by SIGKILL", do="free memory"))
        await until(pilot, lambda: "[✗ the chat worker was ended by SIGKILL" in text_of(app))
        assert "반쯤" in text_of(app)
        await pilot.press("b", "enter")
        await until(pilot, lambda: len(clients) == 2)
        clients[1].ready()
        await until(pilot, lambda: clients[1].asked)
        clients[0].answer("spoken by the dead", done=None)
        clients[1].answer("살아났습니다")
        await until(pilot, lambda: "살아났습니다" in text_of(app))
        assert "spoken by the dead" not in text_of(app)


async def test_an_evaluation_case_is_put_in_and_can_be_sent(
    make_app, engine, clients, models, open_chat, until, text_of
):
    run = engine.add("dataset", State.FINISHED, result={"summary": "made"})
    run.artifacts.mkdir(parents=True)
    cases = [
        {"id": f"case-{n}", "group": "g", "answers": {t.key: f"답변{n}" for t in TRAITS}}
        for n in (1, 2)
    ]
    records.write(run.artifacts / "cases.jsonl", cases)
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await open_chat(app, pilot)
        prompt = app.screen.query_one("#prompt")
        await pilot.press("ctrl+t")
        await until(pilot, lambda: "개방성: '답변1'" in prompt.text)
        await until(pilot, lambda: "case 1 of 2: case-1" in text_of(app))
        await pilot.press("ctrl+t")
        await until(pilot, lambda: "개방성: '답변2'" in prompt.text)
        await pilot.press("enter")
        await until(pilot, lambda: clients)
        clients[0].ready()
        await until(pilot, lambda: clients[0].asked)
        assert clients[0].asked[0][1]["content"].count("\n") == 4


async def test_another_model_ends_the_worker_and_loads(
    make_app, clients, models, open_chat, until
):
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await open_chat(app, pilot)
        await pilot.press("i", "a", "enter")
        await until(pilot, lambda: clients)
        clients[0].ready()
        select = app.screen.query_one("#model", Select)
        select.value = next(v for _, v in select._options if str(v).endswith("F16.gguf"))
        await until(pilot, lambda: len(clients) == 2 and clients[1].calls == ["launch"])
        assert "close" in clients[0].calls
        assert clients[1].path.name == "model.F16.gguf"


async def test_the_answer_of_the_pipeline_is_shown_but_not_told(
    make_app, engine, clients, models, open_chat, until, text_of
):
    run = engine.add("chat", State.FINISHED, result={"summary": "answered"})
    answer = {
        "case": {"answers": {trait.key: "답변" for trait in TRAITS}},
        "model": "model.Q4_K_M.gguf",
        "text": "파이프라인의 답",
        "stopped": True,
        "timings": {"generated_tokens": 5, "tokens_per_second": 50.0},
    }
    artifacts.write_json(run.artifacts / "answer.json", answer)
    app = make_app()
    async with app.run_test(size=(80, 30)) as pilot:
        await open_chat(app, pilot)
        await until(pilot, lambda: "파이프라인의 답" in text_of(app))
        assert "the pipeline asked" in text_of(app)
        await pilot.press("i", "a", "enter")
        await until(pilot, lambda: clients)
        clients[0].ready()
        await until(pilot, lambda: clients[0].asked)
        assert [m["content"] for m in clients[0].asked[0][1:]] == ["a"]


async def test_quitting_ends_the_worker_and_waits_for_nothing(
    make_app, clients, models, open_chat, until
):
    released = threading.Event()
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await open_chat(app, pilot)
        await pilot.press("i", "a", "enter")
        await until(pilot, lambda: clients)
        worker = clients[0]
        closing = threading.Event()

        def close() -> None:
            closing.set()
            released.wait(10)

        worker.close = close
        worker.ready()
        await until(pilot, lambda: worker.asked)
        await pilot.press("ctrl+q")
    assert not released.is_set(), "the app has quit while the worker still closes"
    assert closing.wait(10)
    released.set()


def test_a_model_that_does_not_load_is_told(tmp_path, clients, monkeypatch):
    def refuse(self) -> None:
        raise StageError("no memory", do="close something")

    monkeypatch.setattr(FakeClient, "launch", refuse)
    heard = []
    came = threading.Event()

    def post(message) -> None:
        heard.append(message)
        came.set()

    talk = Conversation(post, tmp_path, heard.append)
    talk.set_up(default_settings("tiny").chat)
    talk.choose(tmp_path / "a.gguf")
    talk.ask("질문")
    assert came.wait(10)
    talk.take()
    assert talk.state == "no worker"
    assert "no memory" in talk.words
    assert "close something" in talk.shown[0].note
    talk.close()


def test_timings_say_what_is_known():
    assert timings(Done(1, "length", 9, 0, 3, None, None, None)) == "3 tokens, cut at the limit"


async def talked(app, pilot, until, clients, *pairs: tuple[str, str]) -> FakeClient:
    """Ask and answer these, one after the other."""
    for key, answer in pairs:
        await pilot.press("i", key, "enter")
        await until(pilot, lambda: clients)
        if app.screen.conversation.state == "loading":
            clients[-1].ready()
        await until(pilot, lambda: app.screen.conversation.state == "answering")
        clients[-1].answer(answer)
        await until(pilot, lambda: not app.screen.conversation.busy)
        await pilot.press("escape")
    return clients[-1]


def told(worker: FakeClient) -> list[str]:
    """What the model was told last, without the system prompt."""
    return [message["content"] for message in worker.asked[-1][1:]]


async def test_the_same_again_an_edit_and_a_branch_lose_nothing(
    make_app, clients, models, open_chat, until, text_of
):
    app = make_app()
    async with app.run_test(size=(120, 40)) as pilot:
        await open_chat(app, pilot)
        worker = await talked(app, pilot, until, clients, ("a", "하나"), ("b", "둘"))
        await pilot.press("g")
        await until(pilot, lambda: len(worker.asked) == 3)
        assert told(worker) == ["a", "하나", "b"]
        assert worker.sampling[2]["seed"] == worker.sampling[1]["seed"] + 1
        worker.answer("셋")
        await until(pilot, lambda: "셋" in text_of(app) and "‹ 2 of 2 ›" in text_of(app))
        await pilot.press("comma")
        await until(pilot, lambda: "둘" in text_of(app) and "‹ 1 of 2 ›" in text_of(app))
        await pilot.press("e")
        await until(pilot, lambda: app.screen.query_one("#prompt").text == "b")
        await pilot.press("c", "enter")
        await until(pilot, lambda: len(worker.asked) == 4)
        assert told(worker)[:2] == ["a", "하나"]
        assert sorted(told(worker)[2]) == ["b", "c"]
        worker.answer("넷")
        await until(pilot, lambda: "‹ 3 of 3 ›" in text_of(app))
        await pilot.press("escape", "k", "k", "b")
        await until(pilot, lambda: "넷" not in text_of(app))
        await pilot.press("d", "enter")
        await until(pilot, lambda: len(worker.asked) == 5)
        assert told(worker) == ["a", "하나", "d"]
        tree = app.screen.conversation.tree
        assert [turn.answer for turn in tree.turns.values()][:4] == ["하나", "둘", "셋", "넷"]


async def test_an_earlier_conversation_is_found_and_gone_on_with(
    make_app, clients, models, open_chat, until, text_of
):
    app = make_app()
    async with app.run_test(size=(120, 40)) as pilot:
        await open_chat(app, pilot)
        await talked(app, pilot, until, clients, ("a", "바다가 좋아요"))
        await pilot.press("ctrl+n")
        await until(pilot, lambda: "바다가" not in text_of(app))
        worker = await talked(app, pilot, until, clients, ("b", "산이 좋아요"))
        await pilot.press("o")
        await until(pilot, lambda: app.screen.query("#choices"))
        await pilot.press("바", "다")
        await until(pilot, lambda: app.screen._words == "바다" and len(app.screen._found) == 1)
        await pilot.press("enter")
        await until(pilot, lambda: "바다가 좋아요" in text_of(app))
        await pilot.press("i", "c", "enter")
        await until(pilot, lambda: len(worker.asked) == 3)
        assert told(worker) == ["a", "바다가 좋아요", "c"]


async def test_sampling_is_changed_by_fields_and_presets_and_a_wrong_value_is_named(
    make_app, clients, models, open_chat, until, text_of
):
    app = make_app()
    async with app.run_test(size=(120, 44)) as pilot:
        await open_chat(app, pilot)
        worker = await talked(app, pilot, until, clients, ("a", "하나"))
        await pilot.press("p")
        panel = app.screen.query_one("#sampling")
        await until(pilot, lambda: panel.display)
        field = app.screen.query_one("#field-temperature", Input)
        field.value = "9"
        await until(pilot, lambda: "✗ temperature" in text_of(app))
        assert app.screen.conversation.settings.temperature == 0
        app.screen.query_one("#preset", Select).value = "haruon"
        await until(pilot, lambda: app.screen.conversation.settings.max_tokens == 800)
        assert field.value == "0.7"
        assert "✗ temperature" not in text_of(app)
        assert "close" not in worker.calls, "sampling alone loads nothing anew"
        app.screen.query_one("#field-context", Input).value = "512"
        await until(pilot, lambda: "close" in worker.calls)
        await pilot.press("p")
        await talked(app, pilot, until, clients, ("b", "둘"))
        assert clients[-1].settings.context == 512
        assert clients[-1].sampling[0]["temperature"] == 0.7


async def test_markdown_html_and_markup_of_a_model_do_nothing(
    make_app, clients, models, open_chat, until, text_of
):
    app = make_app()
    async with app.run_test(size=(120, 40)) as pilot:
        await open_chat(app, pilot)
        hostile = "# 제목\n\n[bold]x[/bold] <b>태그</b> \x1b]52;c;aGk=\x07\x1b[2J\n\n- 하나"
        await talked(app, pilot, until, clients, ("a", hostile))
        await until(pilot, lambda: "• 하나" in text_of(app))
        assert "[bold]x[/bold] <b>태그</b>" in text_of(app)
        await pilot.press("w")
        await until(pilot, lambda: "# 제목" in text_of(app))
        assert "\x1b" not in text_of(app)


async def test_an_answer_is_copied_kept_as_an_example_and_exported(
    make_app, clients, models, workspace, open_chat, until, text_of
):
    app = make_app()
    async with app.run_test(size=(120, 40)) as pilot:
        await open_chat(app, pilot)
        await talked(app, pilot, until, clients, ("a", "이렇게\n```\nx = 1\n```\n"))
        await pilot.press("y")
        copied = workspace.folder / "chat" / "copied.txt"
        await until(pilot, copied.exists)
        assert app.clipboard == copied.read_text("utf-8") == "이렇게\n```\nx = 1\n```\n"
        await pilot.press("Y")
        await until(pilot, lambda: copied.read_text("utf-8") == "x = 1\n")
        await pilot.press("d")
        await until(pilot, (workspace.folder / "chat" / "examples.jsonl").exists)
        await pilot.press("x")
        await until(pilot, lambda: list((workspace.folder / "chat" / "exports").glob("*.md")))


async def test_the_prompt_as_the_template_writes_it_is_one_key_away(
    make_app, clients, models, open_chat, until, text_of, monkeypatch
):
    monkeypatch.setattr(conversation, "ChatClient", FakeClient)
    app = make_app()
    async with app.run_test(size=(120, 40)) as pilot:
        await open_chat(app, pilot)
        worker = await talked(app, pilot, until, clients, ("a", "하나"))
        await pilot.press("v")
        await until(pilot, lambda: worker.rendered)
        worker.say(Rendered(1, "<|im_start|>user\na<|im_end|>", 9))
        await until(pilot, lambda: "<|im_start|>user" in text_of(app))
        assert "9 tokens" in text_of(app)


async def test_while_a_job_uses_the_gpu_the_model_is_loaded_on_the_cpu_and_that_is_said(
    make_app, engine, clients, models, open_chat, until, text_of
):
    run = engine.add("train", State.RUNNING)
    run._job = run.job.model_copy(update={"devices": ("0",)})
    app = make_app()
    async with app.run_test(size=(120, 40)) as pilot:
        await open_chat(app, pilot)
        await until(pilot, lambda: app.screen.conversation.settings)
        settings = app.screen.conversation.settings.model_copy(update={"gpu_layers": -1})
        app.screen.conversation.set_up(settings)
        await pilot.press("i", "a", "enter")
        await until(pilot, lambda: clients)
        assert clients[0].settings.gpu_layers == 0
        await until(pilot, lambda: "a job uses the GPU" in text_of(app))


def test_the_clipboard_is_reached_through_tmux():
    assert clipboard.through_tmux("가") == "\x1bPtmux;\x1b\x1b]52;c;6rCA\x07\x1b\\"
