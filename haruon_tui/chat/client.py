"""The side of the chat that asks: used by the command line, the chat stage and the screen."""

from __future__ import annotations

import contextlib
import itertools
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from haruon_tui.chat import protocol
from haruon_tui.chat.protocol import Done, Event, Failed, Loaded, Message, Prompt, Sampling, Token
from haruon_tui.chat.scarce_memory import FREE_MEMORY, lacks_memory
from haruon_tui.errors import StageError

_CLOSE_SECONDS = 2.0
_TAIL_LINES = 8
_TAIL_BYTES = 1 << 14
_LINE_LENGTH = 200


class ChatClient:
    """One worker process with one GGUF model.

    Blocking use: `with ChatClient(path) as chat: for event in chat.generate(messages): ...`.
    For a screen: pass `on_event`, call `launch` and `ask`, which return at once; every event is
    then given to `on_event` in a thread of the client's own. All methods may be called from any
    thread.
    """

    def __init__(
        self,
        path: Path,
        *,
        context: int = 2048,
        threads: int | None = None,
        gpu_layers: int = 0,
        on_event: Callable[[Event], None] | None = None,
    ) -> None:
        """`context` in tokens; `threads` None suits them to the size of the model."""
        self.path = path.absolute()
        self._load = protocol.Load(str(self.path), context, threads, gpu_layers)
        self._on_event = on_event
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._open: set[int] = set()
        self._readers: dict[int, queue.SimpleQueue[Event | StageError]] = {}
        self._load_reader: queue.SimpleQueue[Event | StageError] = queue.SimpleQueue()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread: threading.Thread | None = None
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the worker
        self._ended: StageError | None = None
        self._closing = False

    def __enter__(self) -> ChatClient:
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
        """Start the worker and ask it to load the model; `Loaded` or `Failed` follows."""
        self._process = subprocess.Popen(
            # -P: a file in the current folder must not shadow a library
            [sys.executable, "-P", "-m", "haruon_tui.chat.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._complaints,
            start_new_session=True,  # Ctrl+C is for the answer, not for the worker
        )
        self._thread = threading.Thread(target=self._read, name="chat-reader", daemon=True)
        self._thread.start()
        self._send(self._load)

    def start(self) -> Loaded:
        """Start the worker and wait until the model is loaded. Raises StageError."""
        self.launch()
        try:
            event = _heard(self._load_reader)
        except StageError:
            self.close()
            raise
        assert isinstance(event, Loaded)
        return event

    def ask(self, messages: list[Message], **sampling: Any) -> int:
        """Ask for an answer and return its id at once; `sampling` as in protocol.Sampling.

        Raises StageError when the worker has ended.
        """
        return self._ask(messages, sampling, None)

    def generate(
        self, messages: list[Message], **sampling: Any
    ) -> Iterator[Prompt | Token | Done]:
        """The events of one answer, the last of them Done. Leaving the loop stops the answer.

        Raises StageError when the request fails or the worker dies.
        """
        reader: queue.SimpleQueue[Event | StageError] = queue.SimpleQueue()
        number = self._ask(messages, sampling, reader)
        try:
            while True:
                event = _heard(reader)
                assert isinstance(event, Prompt | Token | Done)
                yield event
                if isinstance(event, Done):
                    return
        finally:
            self._stop_one(number)

    def stop(self) -> None:
        """End every answer that is under way or waiting; each still gets its Done."""
        with self._lock:
            numbers = sorted(self._open)
        for number in numbers:
            self._stop_one(number)

    def render(self, messages: list[Message]) -> None:
        """Ask for the prompt that the template makes; `Rendered` or `Failed` follows at once.

        Raises StageError when the worker has ended.
        """
        self._send(protocol.Render(next(self._numbers), messages))

    def reset(self) -> None:
        """Forget what was said, so that the next prompt is read whole."""
        self._send(protocol.Reset())

    def close(self) -> None:
        """End the worker. May be called twice."""
        self._closing = True
        process = self._process
        if process is None:
            return
        assert process.stdin
        with self._lock, contextlib.suppress(OSError):
            process.stdin.close()
        try:
            process.wait(_CLOSE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def _ask(
        self,
        messages: list[Message],
        sampling: dict[str, Any],
        reader: queue.SimpleQueue[Event | StageError] | None,
    ) -> int:
        number = next(self._numbers)
        with self._lock:
            self._open.add(number)
            if reader is not None:
                self._readers[number] = reader
        self._send(protocol.Generate(number, messages, Sampling(**sampling)))
        return number

    def _stop_one(self, number: int) -> None:
        if number in self._open:
            with contextlib.suppress(StageError):  # what has ended needs no stop
                self._send(protocol.Stop(number))

    def _send(self, request: protocol.Request) -> None:
        process = self._process
        if process is None:
            raise StageError("the chat worker was not started", where=str(self.path))
        assert process.stdin
        try:
            with self._lock:
                process.stdin.write(protocol.encode(request))
                process.stdin.flush()
        except (OSError, ValueError):  # the pipe is broken, or closed on our side
            if self._thread is not None and self._thread is not threading.current_thread():
                self._thread.join(_CLOSE_SECONDS)
            raise self._ended or StageError("the chat is closed", where=str(self.path)) from None

    def _read(self) -> None:
        """The reader thread: hands on every event until the worker ends."""
        process = self._process
        assert process
        assert process.stdout
        with process.stdout as lines:
            for line in lines:
                try:
                    event = protocol.decode_event(line)
                except (ValueError, TypeError):
                    continue  # a library that writes to the protocol's own descriptor
                self._hand_on(event)
        self._ended = self._end(process.wait())
        with self._lock:
            readers = [self._load_reader, *self._readers.values()]
            self._readers.clear()
            self._open.clear()
        for reader in readers:
            reader.put(self._ended)
        if self._on_event and not self._closing:
            self._on_event(Failed(self._ended.what, where=self._ended.where, do=self._ended.do))

    def _hand_on(self, event: Event) -> None:
        number = None if isinstance(event, Loaded) else event.id
        with self._lock:
            reader = self._load_reader if number is None else self._readers.get(number)
            if number is not None and isinstance(event, Done | Failed):
                self._open.discard(number)
                self._readers.pop(number, None)
        if reader is not None:
            reader.put(event)
        if self._on_event:
            self._on_event(event)

    def _end(self, code: int) -> StageError:
        if self._closing:
            return StageError("the chat is closed", where=str(self.path))
        how = f"with exit code {code}"
        if code < 0:
            known = -code in {one.value for one in signal.Signals}
            how = f"by {signal.Signals(-code).name if known else f'signal {-code}'}"
        words = self._last_words()
        return StageError(
            f"the chat worker was ended {how}{words}",
            where=str(self.path),
            do=FREE_MEMORY
            if code == -signal.SIGKILL or lacks_memory(words)
            else "haruon gguf verify tells whether the file is sound",
        )

    def _last_words(self) -> str:
        size = self._complaints.seek(0, 2)
        self._complaints.seek(max(0, size - _TAIL_BYTES))
        text = self._complaints.read().decode("utf-8", errors="replace")
        lines = [line.strip()[:_LINE_LENGTH] for line in text.splitlines() if line.strip()]
        return ": " + " | ".join(lines[-_TAIL_LINES:]) if lines else ""


def _heard(reader: queue.SimpleQueue[Event | StageError]) -> Event:
    event = reader.get()
    if isinstance(event, StageError):
        raise event
    if isinstance(event, Failed):
        raise StageError(event.what, where=event.where, expected=event.expected, do=event.do)
    return event
