"""A model behind an OpenAI-compatible endpoint, used as a ChatClient is.

The requests run in an event loop of a thread of the client's own, where the openai package is
imported too. The key is read from its environment variable and never written or shown.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import queue
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from haruon_tui.chat.protocol import (
    Done,
    Event,
    Failed,
    Loaded,
    Message,
    Prompt,
    Rendered,
    Sampling,
    Token,
)
from haruon_tui.dataset.generation.endpoint import checked_url, key_of
from haruon_tui.dataset.generation.redaction import Redaction
from haruon_tui.errors import ConfigurationError, StageError

KEY_VARIABLE = "OPENAI_API_KEY"

_CONNECT_SECONDS = 10.0
_SILENT_SECONDS = 120.0
"""So long may a server think before its first token, or between two."""
_CLOSE_SECONDS = 2.0
_MAX_WORDS = 300
_REASONS = {"stop": "stop", "length": "length", "eos": "stop", "max_tokens": "length"}


@dataclass(frozen=True)
class Endpoint:
    """`url` mostly ends in /v1; an empty `model` takes the one that the server has. `key_env`
    names the variable with the key; a server on this machine needs none."""

    url: str
    model: str = ""
    key_env: str = KEY_VARIABLE


class RemoteClient:
    """Has the methods of ChatClient. `Loaded` says that the server answered; its context is 0,
    as no server tells it. `Done` has the tokens that the server counts, or the pieces that came.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        silent_seconds: float = _SILENT_SECONDS,
        on_event: Callable[[Event], None] | None = None,
    ) -> None:
        """Raises ConfigurationError for what is no address, or a key that is not there."""
        try:
            self.url = checked_url(endpoint.url)
            self._key = key_of(endpoint.key_env, self.url)
        except ConfigurationError as error:
            where = "the variable with the key" if "api_key" in str(error.where) else "the address"
            raise ConfigurationError(
                error.what, where=where, expected=error.expected, do=error.do
            ) from None
        self.model = endpoint.model
        self._silent = silent_seconds
        self._redact = Redaction(None if self._key == "none" else self._key).text
        self._on_event = on_event
        self._numbers = itertools.count(1)
        self._asked: set[int] = set()
        self._stopped: set[int] = set()
        self._tasks: dict[int, asyncio.Task[Any]] = {}
        self._readers: dict[int, queue.SimpleQueue[Event]] = {}
        self._load_reader: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._loop = asyncio.new_event_loop()
        self._thread: threading.Thread | None = None
        self._turn = asyncio.Lock()
        self._openai: Any = None
        self._closed = False

    def __enter__(self) -> RemoteClient:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def launch(self) -> None:
        """Look whether the server answers; `Loaded` or `Failed` follows."""
        self._thread = threading.Thread(target=self._serve, name="remote-chat", daemon=True)
        self._thread.start()
        self._submit(self._connect())

    def start(self) -> Loaded:
        """The same, and wait. Raises StageError."""
        self.launch()
        event = self._load_reader.get()
        if isinstance(event, Failed):
            self.close()
            raise _error(event)
        assert isinstance(event, Loaded)
        return event

    def ask(self, messages: list[Message], **sampling: Any) -> int:
        """Ask for an answer and return its id at once; `sampling` as in protocol.Sampling."""
        return self._ask(messages, sampling, None)

    def generate(
        self, messages: list[Message], **sampling: Any
    ) -> Iterator[Prompt | Token | Done]:
        """The events of one answer, the last of them Done. Leaving the loop stops the answer.

        Raises StageError when the request fails.
        """
        reader: queue.SimpleQueue[Event] = queue.SimpleQueue()
        number = self._ask(messages, sampling, reader)
        try:
            while True:
                event = reader.get()
                if isinstance(event, Failed):
                    raise _error(event)
                assert isinstance(event, Prompt | Token | Done)
                yield event
                if isinstance(event, Done):
                    return
        finally:
            self._cancel(number)

    def stop(self) -> None:
        """End every answer that is under way or waiting; each still gets its Done."""
        for number in sorted(self._asked):
            self._cancel(number)

    def render(self, messages: list[Message]) -> None:
        """Tell the messages as they are sent, by Rendered: the template is the server's affair."""
        text = json.dumps(messages, ensure_ascii=False, indent=2)
        self._say(Rendered(next(self._numbers), text, 0))

    def reset(self) -> None:
        """Nothing is kept between two answers here; what a server keeps is its own affair."""

    def close(self) -> None:
        """End every request and the thread. May be called twice."""
        if self._closed:
            return
        self._closed = True
        if self._thread is None:
            self._loop.close()
            return
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._loop.stop)
        if self._thread is not threading.current_thread():
            self._thread.join(_CLOSE_SECONDS)

    def _ask(
        self,
        messages: list[Message],
        sampling: dict[str, Any],
        reader: queue.SimpleQueue[Event] | None,
    ) -> int:
        number = next(self._numbers)
        if reader is not None:
            self._readers[number] = reader
        self._asked.add(number)
        self._submit(self._answer(number, messages, Sampling(**sampling)))
        return number

    def _submit(self, work: Coroutine[Any, Any, None]) -> None:
        if self._closed or self._thread is None:
            work.close()
            raise StageError("the chat is closed", where=self.url)
        asyncio.run_coroutine_threadsafe(work, self._loop)

    def _cancel(self, number: int) -> None:
        if number in self._asked:
            with suppress(RuntimeError):  # the loop is closed, and the answer with it
                self._loop.call_soon_threadsafe(self._cancel_task, number)

    # In the thread

    def _cancel_task(self, number: int) -> None:
        if task := self._tasks.get(number):
            task.cancel()
        else:
            self._stopped.add(number)  # it has not begun

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
            tasks = asyncio.all_tasks(self._loop)
            for task in tasks:
                task.cancel()
            self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
            if self._openai is not None:
                self._loop.run_until_complete(self._openai.close())
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        finally:
            self._loop.close()

    async def _connect(self) -> None:
        started = time.perf_counter()
        try:
            import httpx2
            import openai

            self._openai = openai.AsyncOpenAI(
                api_key=self._key,
                base_url=self.url,
                max_retries=0,
                timeout=httpx2.Timeout(self._silent, connect=_CONNECT_SECONDS),
            )
            try:
                listed = await self._openai.models.list(timeout=_CONNECT_SECONDS)
                known = [str(model.id) for model in listed.data or []]
            except (openai.NotFoundError, openai.PermissionDeniedError) as error:
                if not self.model:
                    raise StageError(
                        "the server lists no models here", do="name the model"
                    ) from error
                known = []  # many servers answer chats alone
            if not self.model and len(known) != 1:
                raise StageError(
                    f"the server has {len(known)} models",
                    expected=", ".join(known[:8]) or "a model",
                    do="name the model",
                )
            self.model = self.model or known[0]
            self._say(Loaded(seconds=time.perf_counter() - started, template="", context=0))
        except Exception as error:  # noqa: BLE001 - whatever it is, the screen must say it
            self._say(self._in_words(error, None))

    async def _answer(self, number: int, messages: list[Message], sampling: Sampling) -> None:
        count = _Count(number)
        task = asyncio.current_task()
        assert task
        self._tasks[number] = task
        if number in self._stopped:
            task.cancel()
        try:
            async with self._turn:
                count.started = time.perf_counter()
                await self._stream(count, messages, sampling)
            if count.reason is None:
                self._say(_failed(self, number, "the answer broke off: the stream just ended"))
                return
            self._say(count.done())
        except asyncio.CancelledError:
            count.reason = "stopped"
            self._say(count.done())
        except Exception as error:  # noqa: BLE001 - whatever it is, the screen must say it
            self._say(self._in_words(error, number, broken=bool(count.times)))

    async def _stream(self, count: _Count, messages: list[Message], sampling: Sampling) -> None:
        if self._openai is None:
            raise StageError("the server was not reached", do="open it again")
        import openai

        create = self._openai.chat.completions.create
        asked = _arguments(sampling) | {"model": self.model, "messages": messages}
        try:
            stream = await create(**asked, extra_body=_own_arguments(sampling))
        except (openai.BadRequestError, openai.UnprocessableEntityError):
            # a server that knows OpenAI's own parameters alone; what else is wrong it says again
            stream = await create(**asked)
        async with stream:
            async for chunk in stream:
                if error := getattr(chunk, "error", None):
                    raise StageError(_said_in(error) or "the server says that it failed")
                if chunk.usage is not None:
                    count.take_usage(chunk.usage)
                for choice in (chunk.choices or [])[:1]:
                    if piece := getattr(choice.delta, "content", None):
                        count.times.append(time.perf_counter())
                        self._say(Token(count.number, self._redact(str(piece))))
                    if choice.finish_reason:
                        count.reason = _REASONS.get(str(choice.finish_reason), "stop")

    def _say(self, event: Event) -> None:
        reader = self._load_reader
        number = None if isinstance(event, Loaded) else event.id
        if number is not None:
            reader = self._readers.get(number, queue.SimpleQueue())
            if isinstance(event, Done | Failed):
                self._readers.pop(number, None)
                self._asked.discard(number)
                self._tasks.pop(number, None)
        reader.put(event)
        if self._on_event and not self._closed:
            self._on_event(event)

    def _in_words(self, error: Exception, number: int | None, *, broken: bool = False) -> Failed:
        import httpx2
        import openai

        cause: BaseException = error.__cause__ or error
        match error:
            case StageError():
                return _failed(self, number, error.what, error.do, error.expected)
            case openai.AuthenticationError() | openai.PermissionDeniedError():
                return _failed(
                    self,
                    number,
                    f"the server does not accept the key ({error.status_code})",
                    "put the right key into the variable that is named for it",
                )
            case openai.NotFoundError():
                return _failed(
                    self,
                    number,
                    "the server has no such address or model (404): " + _said_in(error.body),
                    "look at the address, which mostly ends in /v1, and at the model's name",
                )
            case openai.APIStatusError():
                said = _said_in(error.body) or "no reason given"
                what = f"the server refuses ({error.status_code}): {said}"
                return _failed(self, number, what)
            case openai.APITimeoutError() if isinstance(cause, httpx2.ConnectTimeout):
                what = f"no server answers within {_CONNECT_SECONDS:g} s"
                return _failed(self, number, what, "is the address right, and the server up?")
            case openai.APITimeoutError() | httpx2.TimeoutException():
                what = f"the server was silent for {self._silent:g} s"
                return _failed(self, number, what, "look at the server")
            case openai.APIConnectionError() if isinstance(cause, httpx2.ConnectError):
                what = f"there is no server: {cause}"
                return _failed(self, number, what, "start it, or mend the address")
        how = "the answer broke off" if broken else "what the server says is no chat answer"
        said = str(cause) or type(cause).__name__
        return _failed(self, number, f"{how}: {said}")


@dataclass
class _Count:
    """What is counted while an answer comes."""

    number: int
    started: float = 0.0
    reason: Any = None
    prompt_tokens: int = 0
    tokens: int | None = None

    def __post_init__(self) -> None:
        self.times: list[float] = []

    def take_usage(self, usage: Any) -> None:
        self.prompt_tokens = _whole(usage.prompt_tokens) or 0
        self.tokens = _whole(usage.completion_tokens)

    def done(self) -> Done:
        times, count = self.times, self.tokens if self.tokens is not None else len(self.times)
        seconds = times[-1] - times[0] if times else 0.0
        return Done(
            id=self.number,
            reason=self.reason,
            prompt_tokens=self.prompt_tokens,
            reused_tokens=0,
            generated_tokens=count,
            time_to_first_token=times[0] - self.started if times else None,
            prompt_tokens_per_second=None,
            tokens_per_second=(count - 1) / seconds if count > 1 and seconds > 0 else None,
        )


def _arguments(sampling: Sampling) -> dict[str, Any]:
    asked: dict[str, Any] = {
        "stream": True,
        "max_tokens": sampling.max_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
    }
    if sampling.stop:
        asked["stop"] = sampling.stop
    return asked if sampling.seed is None else asked | {"seed": sampling.seed}


def _own_arguments(sampling: Sampling) -> dict[str, Any]:
    """What llama.cpp's, vLLM's and others' servers know beyond OpenAI's parameters."""
    return {
        "top_k": sampling.top_k,
        "min_p": sampling.min_p,
        "repeat_penalty": sampling.repeat_penalty,
        "stream_options": {"include_usage": True},
    }


def _failed(
    client: RemoteClient,
    number: int | None,
    what: str,
    do: str | None = None,
    expected: Any = None,
) -> Failed:
    words = " ".join(client._redact(what).split())[:_MAX_WORDS]
    return Failed(words, number, client.url, expected, do)


def _said_in(body: Any) -> str:
    """The message in an error's body."""
    if isinstance(body, str):
        with suppress(ValueError):
            body = json.loads(body)
    if isinstance(body, dict):
        said = body.get("error") or body.get("message") or body.get("detail") or ""
        return _said_in(said) if isinstance(said, dict) else str(said)
    return str(body or "")


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _error(failed: Failed) -> StageError:
    return StageError(failed.what, where=failed.where, expected=failed.expected, do=failed.do)
