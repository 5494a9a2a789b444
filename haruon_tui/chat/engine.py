"""A GGUF model that answers chats, in this process. Imports llama_cpp: only for the worker."""

from __future__ import annotations

import codecs
import contextlib
import ctypes
import io
import os
import time
import unicodedata
from collections.abc import Callable, Iterator
from typing import Any

import llama_cpp
from llama_cpp.llama_chat_format import Jinja2ChatFormatter

from haruon_tui.chat.protocol import (
    Done,
    Event,
    Generate,
    Load,
    Loaded,
    Message,
    Prompt,
    Rendered,
    Token,
)
from haruon_tui.chat.scarce_memory import FREE_MEMORY, lacks_memory
from haruon_tui.chat.stop_strings import StopStrings
from haruon_tui.errors import StageError
from haruon_tui.gguf.native import Log, usable_cores

_PROMPT_PIECE = 128
"""Prompt tokens read at once, so that progress can be told."""

_SMALL_MODEL_BYTES = 64 << 20

_TEMPLATE = "tokenizer.chat_template"


class Engine:
    """One loaded model and its context. Not thread-safe, as llama.cpp is not."""

    def __init__(self, load: Load) -> None:
        """Raises StageError, with llama.cpp's own words, when it cannot be loaded."""
        started = time.perf_counter()
        if not os.path.isfile(load.path):
            raise StageError("there is no such file", where=load.path, expected="a GGUF file")
        log = Log()
        threads = load.threads or _threads(load.path)
        try:
            # Its verbose mode is the one that leaves fds 1 and 2 alone, where a native crash
            # says its last words; what it prints itself is of no use.
            with contextlib.redirect_stderr(io.StringIO()):
                self._llama: Any = llama_cpp.Llama(
                    load.path,
                    n_ctx=load.context,
                    n_gpu_layers=load.gpu_layers,
                    n_threads=threads,
                    n_threads_batch=threads,
                    offload_kqv=load.gpu_layers != 0,
                    op_offload=load.gpu_layers != 0,
                    verbose=True,
                )
        except (ValueError, RuntimeError, MemoryError) as error:
            said = log.complaint() or str(error)
            little = isinstance(error, MemoryError) or lacks_memory(said)
            raise StageError(
                f"llama.cpp cannot load it: {said}",
                where=load.path,
                expected="memory for it and for its context"
                if little
                else "a whole GGUF file of an architecture it knows",
                do=FREE_MEMORY
                if little
                else "haruon gguf verify, or convert and quantize it again",
            ) from error
        self._llama.verbose = False
        self._context = load.context
        self._abort = _Abort(self._llama.ctx)
        template = self._llama.metadata.get(_TEMPLATE, "")
        if not template:
            raise StageError(
                "has no chat template, so how it wants to be asked is not known",
                where=load.path,
                expected=f"a GGUF file with {_TEMPLATE}",
                do="convert a model whose tokenizer has a chat template",
            )
        self._formatter = Jinja2ChatFormatter(
            template,
            eos_token=self._spelled(self._llama.token_eos()),
            bos_token=self._spelled(self._llama.token_bos()),
        )
        self.loaded = Loaded(
            seconds=time.perf_counter() - started,
            template=template,
            context=self._context,
            threads=threads,
            memory_bytes=_memory(),
        )

    def abort(self) -> None:
        """End the computing that is under way, from any thread. The answer's `stop_requested`
        must already be true: an abort without it only makes a piece be read again."""
        self._abort.set()

    def render(self, number: int, messages: list[Message]) -> Rendered:
        """The prompt as the template writes it. May be called from any thread, while an answer is
        under way too. Raises StageError."""
        prompt = self._prompt(messages)
        return Rendered(number, prompt, len(self._tokens_of(prompt)))

    def reset(self) -> None:
        """Forget what was said."""
        self._llama.reset()

    def answer(self, request: Generate, stop_requested: Callable[[], bool]) -> Iterator[Event]:
        """Prompt events, Token events and one Done.

        The start of the prompt that is still in the context from the turn before is not read
        again. Raises StageError for a prompt that cannot be rendered or leaves no room.
        """
        started = time.perf_counter()
        tokens = self._tokenize(request.messages)
        llama = self._llama
        held = llama_cpp.Llama.longest_token_prefix(llama.input_ids[: llama.n_tokens], tokens)
        reused = min(held, len(tokens) - 1)
        llama.n_tokens = reused
        self._abort.clear()
        while llama.n_tokens < len(tokens):
            if stop_requested():
                yield _done(request, "stopped", tokens, reused, [], started, started)
                return
            begin = llama.n_tokens
            try:
                llama.eval(tokens[begin : begin + _PROMPT_PIECE])
            except RuntimeError:
                if not self._abort.taken():
                    raise
                continue
            yield Prompt(request.id, llama.n_tokens, len(tokens))
        read = time.perf_counter()
        times: list[float] = []
        reason = "length"
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        stops = StopStrings(request.sampling.stop)
        room = min(request.sampling.max_tokens, self._context - len(tokens))
        sampled = self._tokens(request, tokens)
        while len(times) < room:
            try:
                token = next(sampled)
            except RuntimeError:
                if not self._abort.taken():
                    raise
                reason = "stopped"
                break
            if llama_cpp.llama_vocab_is_eog(llama._model.vocab, token):
                reason = "stop"
                break
            times.append(time.perf_counter())
            yield Token(request.id, stops.feed(decoder.decode(llama.detokenize([token]))))
            if stops.found:
                reason = "stop"
                break
            if stop_requested():
                reason = "stopped"
                break
        if rest := stops.feed(decoder.decode(b"", final=True)) + stops.rest():
            yield Token(request.id, rest)
        yield _done(request, reason, tokens, reused, times, started, read)

    def _tokenize(self, messages: list[Message]) -> list[int]:
        tokens = self._tokens_of(self._prompt(messages))
        if len(tokens) >= self._context:
            raise StageError(
                f"the prompt has {len(tokens)} tokens, the context holds {self._context}",
                expected="a prompt shorter than the context",
                do="raise chat.context, or start a new conversation",
            )
        return tokens

    def _prompt(self, messages: list[Message]) -> str:
        try:
            prompt = self._formatter(messages=messages).prompt
        except Exception as error:
            raise StageError(
                f"the file's chat template refuses these messages: {error}",
                expected="a list of system, user and assistant turns",
            ) from error
        # Qwen2's tokenizer composes text, llama.cpp does not: macOS types decomposed Hangul.
        return unicodedata.normalize("NFC", prompt)

    def _tokens_of(self, prompt: str) -> list[int]:
        # An HF tokenizer's template writes the beginning token itself; Qwen2 has none.
        tokens: list[int] = self._llama.tokenize(
            prompt.encode("utf-8", errors="replace"), add_bos=False, special=True
        )
        return tokens

    def _tokens(self, request: Generate, prompt: list[int]) -> Iterator[int]:
        sampling = request.sampling
        seed = llama_cpp.LLAMA_DEFAULT_SEED if sampling.seed is None else sampling.seed
        self._llama.set_seed(seed)
        # The whole prompt is in the context, so this samples at once and reads nothing again.
        yield from self._llama.generate(
            prompt,
            temp=sampling.temperature,
            top_p=sampling.top_p,
            top_k=sampling.top_k,
            min_p=sampling.min_p,
            repeat_penalty=sampling.repeat_penalty,
        )

    def _spelled(self, token: int) -> str:
        return "" if token < 0 else str(self._llama._model.token_get_text(token))


class _Abort:
    """A flag that llama.cpp looks at before every operation, where the backend honours it.

    It asks a function for it; strlen of the flag's own bytes is one, so none of its threads ever
    waits for Python.
    """

    def __init__(self, context: Any) -> None:
        self._flag = ctypes.create_string_buffer(2)
        self._length = ctypes.cast(ctypes.CDLL(None).strlen, llama_cpp.ggml_abort_callback)
        place = ctypes.cast(self._flag, ctypes.c_void_p)
        llama_cpp.llama_set_abort_callback(context, self._length, place)

    def set(self) -> None:
        self._flag[0] = b"!"

    def clear(self) -> None:
        self._flag[0] = b"\0"

    def taken(self) -> bool:
        """Whether it was set; it no longer is."""
        was = self._flag.raw[:1] != b"\0"
        self.clear()
        return was


def _memory() -> int | None:
    """Bytes of this process that are in memory, the file's pages included."""
    import psutil

    try:
        return int(psutil.Process().memory_info().rss)
    except psutil.Error:
        return None


def _threads(path: str) -> int:
    """Every usable core, but one for a small model: a token of it takes less time than threads
    need to meet, and beside a training on 2 cores they met 20 to 90 times slower than one went."""
    return 1 if os.path.getsize(path) < _SMALL_MODEL_BYTES else usable_cores()


def _done(
    request: Generate,
    reason: Any,
    prompt: list[int],
    reused: int,
    times: list[float],
    started: float,
    read: float,
) -> Done:
    def rate(count: int, seconds: float) -> float | None:
        return count / seconds if count > 0 and seconds > 0 else None

    return Done(
        id=request.id,
        reason=reason,
        prompt_tokens=len(prompt),
        reused_tokens=reused,
        generated_tokens=len(times),
        time_to_first_token=times[0] - started if times else None,
        prompt_tokens_per_second=rate(len(prompt) - reused, read - started),
        tokens_per_second=rate(len(times) - 1, times[-1] - times[0]) if times else None,
        memory_bytes=_memory(),
    )
