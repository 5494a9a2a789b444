"""A conversation with one model at a time: what was said, kept as it is said, and who answers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Literal

from textual.message import Message

from haruon_tui.chat import sessions
from haruon_tui.chat.client import ChatClient
from haruon_tui.chat.models import Model, check_memory, names_of
from haruon_tui.chat.protocol import (
    Done,
    Event,
    Failed,
    Loaded,
    Prompt,
    Rendered,
    Sampling,
    Token,
)
from haruon_tui.chat.remote import Endpoint, RemoteClient
from haruon_tui.chat.tree import Tree, Turn
from haruon_tui.dataset.persona import SYSTEM_PROMPT
from haruon_tui.screens.engine import parts
from haruon_tui.screens.plain_text import one_line
from haruon_tui.screens.session_writer import SessionWriter

if TYPE_CHECKING:
    from haruon_tui.chat.client_thread import Client
    from haruon_tui.settings import ChatSettings

State = Literal["no worker", "loading", "ready", "answering"]
Connect = Callable[[Model, "ChatSettings", Callable[[Event], None]], "Client"]
"""Gets the model, the settings, and who hears; called in a thread."""

_ENDED = {"stop": "ended by itself", "length": "cut at the limit", "stopped": "stopped"}
_KEEP_SECONDS = 0.5
"""So much of an answer a kill -9 can cost."""
_STOP_SECONDS = 0.9
"""A worker that does not stop within this is ended; the next question loads the model again."""
LOADING = ("context", "threads", "gpu_layers")
"""The settings that a model is loaded with."""


class Heard(Message):
    """The worker has said something that `take` should hear of now. Of an answer that is only its
    first words: the others wait for the next `take`, as each message costs the model time."""


def connect_to(model: Model, settings: ChatSettings, on_event: Callable[[Event], None]) -> Client:
    """A client that is not launched yet. Raises HaruonError, also when the memory that is free
    does not hold the model."""
    if isinstance(model, Endpoint):
        return RemoteClient(model, on_event=on_event)
    check_memory([model])
    return ChatClient(
        model,
        context=settings.context,
        threads=settings.threads or None,
        gpu_layers=settings.gpu_layers,
        on_event=on_event,
    )


class Conversation:
    """Used on the event loop, where no method waits: a daemon thread speaks to the worker, and
    what the worker says is announced through `post`, and waits for `take`.

    The worker is started by `load` or by the first question, and again after its death.
    """

    def __init__(
        self,
        post: Callable[[Message], object],
        folder: Path | None,
        problem: Callable[[Exception], None],
        gpu_taken: Callable[[], bool] = lambda: False,
        connect: Connect | None = None,
    ) -> None:
        """The conversations are kept in the workspace `folder`, with None not at all; `problem`
        hears in a thread when they cannot be. `gpu_taken` says whether a job uses the GPU."""
        self.tree = Tree()
        self.quoted: Turn | None = None
        """A turn that took place elsewhere, shown before everything else."""
        self.file: sessions.SessionFile | None = None
        self.state: State = "no worker"
        self.model: Model | None = None
        self.words = ""
        """What the worker is at, or why it ended: one line."""
        self.settings: ChatSettings | None = None
        """How it is loaded and asked; nothing is asked before they are known."""
        self.system = SYSTEM_PROMPT
        self.context = 0
        """Tokens that the model holds, 0 where that is not known, and how many it holds now."""
        self.used = 0
        self.memory_bytes: int | None = None
        self._post = post
        self._folder = folder
        self._writer = SessionWriter(problem)
        self._gpu_taken = gpu_taken
        self._connect = connect or connect_to
        self._worker = 0
        self._current: Turn | None = None
        self._waiting: Turn | None = None
        self._to_render: Turn | None = None
        self._kept, self._kept_at = 0, 0.0
        self._stopping_since: float | None = None
        self._loaded_with: tuple[Any, ...] = ()
        self._requests: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._client: Client | None = None
        self._closed = False
        self._untaken: SimpleQueue[tuple[int, Event]] = SimpleQueue()
        """Events, each with the number of its worker among those of this conversation."""
        self._writing = False
        """Whether the last event heard was a token, and the answer's first words have come."""

    @property
    def shown(self) -> list[Turn]:
        """The turns on the path to the head, after the quoted one."""
        return [*([self.quoted] if self.quoted else []), *self.tree.path()]

    @property
    def name(self) -> str:
        """What the model is called."""
        return names_of([self.model])[0] if self.model else ""

    @property
    def busy(self) -> bool:
        """Whether an answer is under way or waited for."""
        return self.state == "answering" or self._waiting is not None

    # The model

    def choose(self, model: Model) -> None:
        """Talk to this model from now on; the worker of another one is ended."""
        if model != self.model:
            self.model = model
            self._end("another model was chosen")
            self.words = ""

    def set_up(self, settings: ChatSettings) -> None:
        """Load and ask with these settings from now on."""
        self.settings = settings
        if self.state != "no worker" and self._loading() != self._loaded_with:
            self._end("loaded anew with other settings")
            self.words = ""
        if self._waiting:
            self._begin(self._waiting)
            self.load()

    def load(self) -> None:
        """Start a worker for the chosen model, unless there is one."""
        if self.model is None or self.settings is None or self.state != "no worker":
            return
        self._worker += 1
        self._loaded_with = self._loading()
        model, worker, settings = self.model, self._worker, self.settings
        self.state, self.words = "loading", f"loading {one_line(self.name)} …"
        if settings.gpu_layers and self._gpu_taken():
            settings = settings.model_copy(update={"gpu_layers": 0})
            self.words = "a job uses the GPU, so this runs on the CPU: loading …"
        self._request(lambda: self._start(model, settings, worker))

    def unload(self) -> None:
        """End the worker, which frees its memory."""
        self._end("unloaded, its memory is free")
        self.memory_bytes = None

    # What is said

    def ask(self, prompt: str, parent: int | None = None) -> None:
        """Ask after the head, or after the turn `parent`; while a model loads or an answer is
        under way, as soon as that is over."""
        if self.model is None or not prompt.strip() or self._waiting:
            return
        if parent is None:
            parent = self.tree.head
        self._waiting = self.tree.add(prompt, self.name, self.system, {}, parent)
        self._begin(self._waiting)
        self.load()
        self._send_waiting()

    def again(self, turn: Turn) -> None:
        """Ask the same again, with another seed."""
        self.ask(turn.prompt, turn.parent)

    def change(self, turn: Turn, prompt: str) -> None:
        """Ask another question in the place of this one."""
        self.ask(prompt, turn.parent)

    def go(self, number: int) -> None:
        """Talk on from this turn."""
        if not self.busy and number != self.tree.head:
            self.tree.head = number
            self._keep(sessions.head(number))

    def branch(self, turn: Turn, step: int) -> None:
        """Show the branch `step` further at this turn."""
        branches = self.tree.branches(turn)
        if len(branches) > 1:
            other = branches[(branches.index(turn) + step) % len(branches)]
            self.go(self.tree.leaf(other.number))

    def stop(self) -> None:
        """End the answer under way; one that still waits is not asked for."""
        if self._waiting:
            self._close_turn(self._waiting, "stopped", "not asked: stopped")
            self._waiting = None
        if self.state == "answering" and self._stopping_since is None:
            self._stopping_since = time.monotonic()
            self._request(lambda: self._client.stop() if self._client else None)

    def clear(self) -> None:
        """Start a new conversation, in a file of its own."""
        self.stop()
        if self._current:
            self._close_turn(self._current, "stopped", "stopped")
            self._current = None
        self._release()
        self.tree, self.quoted, self.used = Tree(), None, 0

    def resume(self, file: sessions.SessionFile, tree: Tree) -> None:
        """Go on with a conversation that was kept; `file` is open."""
        self.clear()
        self.file, self.tree = file, tree
        if turns := tree.path():
            self.system = turns[-1].system

    def render(self, turn: Turn) -> None:
        """Ask for the prompt that the template makes of this turn; Rendered is heard."""
        self._to_render = turn
        self.load()
        self._send_render()

    def close(self) -> None:
        """End the worker, without waiting for it. Should this program end first, the worker's
        stdin closes with it, and it ends all the same."""
        self._closed = True
        self._end("the program ended")
        self._release()
        self._writer.close()

    def tick(self) -> None:
        """Called a few times a second: keep what has been written, end what does not stop."""
        since = self._stopping_since
        if since is not None and time.monotonic() - since > _STOP_SECONDS:
            self._end("it did not stop in time, so its process was ended")
        if self._current and time.monotonic() - self._kept_at > _KEEP_SECONDS:
            self._keep_answer(self._current)

    # What the worker says

    def take(self) -> list[Event]:
        """Take in what the worker has said since the last call, and return it."""
        taken = []
        while not self._untaken.empty():
            worker, event = self._untaken.get()
            if worker == self._worker and self.state != "no worker":
                self._take(event)
                taken.append(event)
        return taken

    def _take(self, event: Event) -> None:
        match event:
            case Loaded() as loaded:
                self.state = "ready"
                self.context, self.used = loaded.context, 0
                self.memory_bytes = loaded.memory_bytes
                self.words = f"loaded in {loaded.seconds:.2f} s"
                self._send_render()
                self._send_waiting()
            case Prompt() as read:
                self.used = read.done
                self.words = f"reading the prompt, {read.done}/{read.total} tokens"
            case Token() as token:
                self.words = "writing …"
                if self._current:
                    self.used += 1
                    self._current.answer += token.text
            case Done() as done:
                self.used = done.prompt_tokens + done.generated_tokens
                self.memory_bytes = done.memory_bytes or self.memory_bytes
                self._answered(done.reason, f"{timings(done)}{prompt_words(done)}")
            case Failed(id=None) as failed:
                self._end(_said(failed))
            case Failed() as failed:
                self._answered("failed", f"✗ {_said(failed)}")
            case Rendered():
                pass  # for the screen

    def _answered(self, reason: str, note: str) -> None:
        if self._current:
            self._close_turn(self._current, reason, note)
        self._current = self._stopping_since = None
        self.state, self.words = "ready", "ready"
        self._send_waiting()

    def _send_waiting(self) -> None:
        if self.state != "ready" or self._waiting is None:
            return
        turn, self._current, self._waiting = self._waiting, self._waiting, None
        self.state, self.words = "answering", "asked …"
        messages, sampling, worker = self.tree.messages(turn), turn.sampling, self._worker
        self._request(lambda: self._ask(messages, sampling, worker))

    def _begin(self, turn: Turn) -> None:
        """Keep that a turn is asked, and how, once that is known. The same question again gets
        another seed, and so another answer."""
        if self.settings is None or turn.sampling:
            return
        turn.sampling = self.settings.model_dump(include={name.name for name in fields(Sampling)})
        same = [other for other in self.tree.branches(turn) if other.prompt == turn.prompt]
        turn.sampling["seed"] += same.index(turn)
        self._kept = 0
        self._keep(sessions.asked(turn))

    def _send_render(self) -> None:
        if self._to_render and self.state in ("ready", "answering"):
            messages, self._to_render = self.tree.messages(self._to_render), None
            self._request(lambda: self._client.render(messages) if self._client else None)

    def _end(self, words: str) -> None:
        """End the worker, if there is one; the conversation stays."""
        for turn in (self._current, self._waiting):
            if turn:
                self._close_turn(turn, "failed", f"✗ {words}")
        self._current = self._waiting = self._stopping_since = None
        if self.state != "no worker":
            self._request(self._close_client)
        self.state, self.words = "no worker", words

    def _loading(self) -> tuple[Any, ...]:
        return tuple(getattr(self.settings, name) for name in LOADING)

    # What is kept

    def _close_turn(self, turn: Turn, reason: str, note: str) -> None:
        self._keep_answer(turn)
        turn.open, turn.reason, turn.note = False, reason, note
        self._keep(sessions.ended(turn))

    def _keep_answer(self, turn: Turn) -> None:
        if piece := turn.answer[self._kept :]:
            self._keep(sessions.said(turn, piece))
        self._kept, self._kept_at = len(turn.answer), time.monotonic()

    def _keep(self, line: dict[str, Any]) -> None:
        if self._folder is None:
            return
        if self.file is None:
            self.file = sessions.SessionFile.new(self._folder)
        self._writer.add(self.file, line)

    def _release(self) -> None:
        if self.file:
            self._writer.release(self.file)
            self.file = None

    # In the thread

    def _request(self, request: Callable[[], None]) -> None:
        self._requests.put(request)
        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, name="chat", daemon=True)
            self._thread.start()

    def _serve(self) -> None:
        while not self._closed or not self._requests.empty():
            self._requests.get()()

    def _start(self, model: Model, settings: ChatSettings, worker: int) -> None:
        self._close_client()
        if self._closed:
            return
        try:
            self._client = self._connect(model, settings, lambda event: self._hear(worker, event))
            self._client.launch()
        except Exception as error:  # noqa: BLE001 - the screen must say it
            self._fail(worker, error)

    def _ask(self, messages: list[dict[str, str]], sampling: dict[str, Any], worker: int) -> None:
        try:
            if self._client:
                self._client.ask(messages, **sampling)
        except Exception as error:  # noqa: BLE001 - the screen must say it
            self._fail(worker, error)

    def _close_client(self) -> None:
        if self._client:
            self._client.close()
            self._client = None

    def _fail(self, worker: int, error: Exception) -> None:
        self._hear(worker, Failed(": ".join(parts(error).values())))

    def _hear(self, worker: int, event: Event) -> None:
        self._untaken.put((worker, event))
        if isinstance(event, Token):
            announced, self._writing = self._writing, self._writing or bool(event.text.strip())
            if announced:
                return
        else:
            self._writing = False
        try:
            self._post(Heard())
        except RuntimeError:  # the event loop is gone; the program ends
            self._closed = True


def timings(done: Done) -> str:
    """How an answer went, in one line."""
    words = [f"{done.generated_tokens} tokens"]
    if done.time_to_first_token is not None:
        words.append(f"first after {done.time_to_first_token:.2f} s")
    if done.tokens_per_second is not None:
        words.append(f"{done.tokens_per_second:.1f} tokens/s")
    return ", ".join([*words, _ENDED[done.reason]])


def prompt_words(done: Done) -> str:
    """How long the prompt was, what of it was still there, and how fast the rest was read."""
    if not done.prompt_tokens:
        return ""
    reused = f", {done.reused_tokens} still there" if done.reused_tokens else ""
    rate = done.prompt_tokens_per_second
    speed = f", {rate:.0f} tokens/s" if rate is not None else ""
    return f"; prompt {done.prompt_tokens} tokens{reused}{speed}"


def _said(failed: Failed) -> str:
    return one_line("; ".join(filter(None, (failed.what, failed.do))))
