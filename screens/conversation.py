"""A conversation with one GGUF model at a time: what was said, and the worker that answers."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TYPE_CHECKING, Literal

from textual.message import Message

from haruon_tui.chat.client import ChatClient
from haruon_tui.chat.protocol import Done, Event, Failed, Loaded, Prompt, Token
from haruon_tui.dataset.persona import SYSTEM_PROMPT
from haruon_tui.screens.engine import parts
from haruon_tui.screens.plain_text import one_line

if TYPE_CHECKING:
    from pathlib import Path

    from haruon_tui.settings import ChatSettings

State = Literal["no worker", "loading", "ready", "answering"]

_SAMPLING = {"temperature", "top_p", "max_tokens", "seed"}
_ENDED = {"stop": "ended by itself", "length": "cut at the limit", "stopped": "stopped"}


@dataclass
class Exchange:
    """A question and its answer. `note` is one line about how it went. A `quoted` one is shown,
    but is not part of what the model is told."""

    prompt: str
    model: str
    answer: str = ""
    note: str = ""
    open: bool = True
    quoted: bool = False


class Heard(Message):
    """An event of the worker; `worker` counts the workers of this conversation."""

    def __init__(self, worker: int, event: Event) -> None:
        super().__init__()
        self.worker = worker
        self.event = event


class Conversation:
    """Used on the event loop, where no method waits: a daemon thread speaks to the worker, and
    what the worker says comes back through `post`, to be given to `take`.

    The worker is started by `load` or by the first question, and again after its death.
    """

    def __init__(
        self,
        post: Callable[[Message], object],
        settings: Callable[[], ChatSettings],
        connect: Callable[..., ChatClient] = ChatClient,
    ) -> None:
        """`settings` is called in the thread: it may read the disk."""
        self.exchanges: list[Exchange] = []
        self.state: State = "no worker"
        self.model: Path | None = None
        self.words = ""
        """What the worker is at, or why it ended: one line."""
        self._post = post
        self._settings = settings
        self._connect = connect
        self._worker = 0
        self._current: Exchange | None = None
        self._waiting: Exchange | None = None
        self._requests: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._client: ChatClient | None = None
        self._closed = False

    def choose(self, model: Path) -> None:
        """Talk to this model from now on; the worker of another one is ended."""
        if model != self.model:
            self.model = model
            self._end("another model was chosen")
            self.words = ""

    def load(self) -> None:
        """Start a worker for the chosen model, unless there is one."""
        if self.model is None or self.state != "no worker":
            return
        self._worker += 1
        self.state, self.words = "loading", f"loading {self.model.name} …"
        model, worker = self.model, self._worker
        self._request(lambda: self._start(model, worker))

    def ask(self, prompt: str) -> None:
        """Ask; while a model loads or an answer is under way, as soon as that is over."""
        if self.model is None or not prompt.strip() or self._waiting:
            return
        exchange = Exchange(prompt, self.model.name)
        self.exchanges.append(exchange)
        self._waiting = exchange
        self.load()
        self._send_waiting()

    @property
    def busy(self) -> bool:
        """Whether an answer is under way or waited for."""
        return self.state == "answering" or self._waiting is not None

    def stop(self) -> None:
        """End the answer under way; one that still waits is not asked for."""
        if self._waiting:
            self._close_exchange(self._waiting, "not asked: stopped")
            self._waiting = None
        if self.state == "answering":
            self._request(lambda: self._client.stop() if self._client else None)

    def clear(self) -> None:
        """Start a new conversation."""
        self.stop()
        self.exchanges = []
        self._current = None

    def quote(self, exchange: Exchange) -> None:
        """Show an exchange that took place elsewhere, before everything else."""
        exchange.quoted, exchange.open = True, False
        self.exchanges.insert(0, exchange)

    def close(self) -> None:
        """End the worker, without waiting for it. Should this program end first, the worker's
        stdin closes with it, and it ends all the same."""
        self._closed = True
        self._end("")

    def take(self, heard: Heard) -> None:
        """Take in what the worker said."""
        if heard.worker != self._worker or self.state == "no worker":
            return
        match heard.event:
            case Loaded() as loaded:
                self.state = "ready"
                self.words = f"loaded in {loaded.seconds:.2f} s, context {loaded.context} tokens"
                self._send_waiting()
            case Prompt() as read:
                self.words = f"reading the prompt, {read.done}/{read.total} tokens"
            case Token() as token:
                self.words = "writing …"
                if self._current:
                    self._current.answer += token.text
            case Done() as done:
                self._answered(timings(done))
            case Failed(id=None) as failed:
                self._end(_said(failed))
            case Failed() as failed:
                self._answered(_said(failed))

    def _answered(self, note: str) -> None:
        if self._current:
            self._close_exchange(self._current, note)
        self._current = None
        self.state, self.words = "ready", "ready"
        self._send_waiting()

    def _send_waiting(self) -> None:
        if self.state != "ready" or self._waiting is None:
            return
        self._current, self._waiting = self._waiting, None
        self.state, self.words = "answering", "asked …"
        messages, worker = self._messages(self._current), self._worker
        self._request(lambda: self._ask(messages, worker))

    def _messages(self, asked: Exchange) -> list[dict[str, str]]:
        """The guide's system prompt, what was said before, and the question."""
        messages = [{"role": "system", "content": SYSTEM_PROMPT}]
        for exchange in self.exchanges:
            if exchange.answer and not exchange.quoted and exchange is not asked:
                messages.append({"role": "user", "content": exchange.prompt})
                messages.append({"role": "assistant", "content": exchange.answer})
        return [*messages, {"role": "user", "content": asked.prompt}]

    def _end(self, words: str) -> None:
        """End the worker, if there is one; the conversation stays."""
        for exchange in (self._current, self._waiting):
            if exchange:
                self._close_exchange(exchange, f"✗ {words}")
        self._current = self._waiting = None
        if self.state != "no worker":
            self._request(self._close_client)
        self.state, self.words = "no worker", words

    def _close_exchange(self, exchange: Exchange, note: str) -> None:
        exchange.open, exchange.note = False, note

    # In the thread

    def _request(self, request: Callable[[], None]) -> None:
        self._requests.put(request)
        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, name="chat", daemon=True)
            self._thread.start()

    def _serve(self) -> None:
        while not self._closed or not self._requests.empty():
            self._requests.get()()

    def _start(self, model: Path, worker: int) -> None:
        self._close_client()
        if self._closed:
            return
        try:
            self._client = self._connect(
                model,
                context=self._settings().context,
                on_event=lambda event: self._hear(worker, event),
            )
            self._client.launch()
        except Exception as error:  # noqa: BLE001 - the screen must say it
            self._fail(worker, error)

    def _ask(self, messages: list[dict[str, str]], worker: int) -> None:
        try:
            sampling = self._settings().model_dump(include=_SAMPLING)
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
        try:
            self._post(Heard(worker, event))
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


def _said(failed: Failed) -> str:
    return one_line("; ".join(filter(None, (failed.what, failed.do))))
