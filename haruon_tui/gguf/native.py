"""One GGUF model in llama.cpp, through ctypes, on the CPU. Only for processes of their own:
a corrupt file can end the process that loads it."""

from __future__ import annotations

import ctypes
import os
import re
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import llama_cpp
import numpy as np

from haruon_tui.errors import StageError

if TYPE_CHECKING:
    Logits = np.ndarray[Any, np.dtype[np.float32]]

_LOG_LEVEL_CONTINUES = 5
_KEPT_LINES = 40
_BATCH = 2048  # tokens; llama.cpp's own, a larger one ends the process
_BUFFER = re.compile(r" (model|KV|compute|output) buffer size\s*=\s*([\d.]+) MiB")


def usable_cores() -> int:
    """The CPU cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Log:
    """llama.cpp's log, line by line. The last one made is the one that is written to.

    Text may come in pieces and cut Korean characters in two; those are replaced, not refused.
    """

    _kept: Log | None = None  # llama.cpp holds a bare pointer to the callback

    def __init__(self, on_line: Callable[[str], None] | None = None) -> None:
        self.lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._on_line = on_line
        self._pending = b""
        self._callback = llama_cpp.llama_log_callback(self._write)
        Log._kept = self
        llama_cpp.llama_log_set(self._callback, ctypes.c_void_p(0))

    def _write(self, level: int, text: bytes, user_data: Any) -> None:
        if level != _LOG_LEVEL_CONTINUES and self._pending:
            self._end_line(self._pending)
            self._pending = b""
        *whole, self._pending = (self._pending + text).split(b"\n")
        for line in whole:
            self._end_line(line)

    def _end_line(self, line: bytes) -> None:
        decoded = line.decode("utf-8", errors="replace").strip()
        if decoded:
            self.lines.append(decoded)
            if self._on_line:
                self._on_line(decoded)

    def complaint(self) -> str:
        """The lines that say what went wrong, or the last ones there are."""
        telling = [line for line in self.lines if "error" in line or "failed" in line]
        return " | ".join((telling or list(self.lines))[-3:])


class Model:
    """A loaded GGUF with a context of `context` tokens, for each of `sequences` texts that are
    written at once. Use it in a `with` block."""

    def __init__(
        self,
        path: Path,
        *,
        context: int,
        threads: int | None = None,
        sequences: int = 1,
        repack: bool = True,
    ) -> None:
        """With `repack`, as by default in llama.cpp, quantized weights are copied in the order
        that suits this CPU, beside the file's own. Raises StageError, with llama.cpp's own words,
        when the file cannot be loaded."""
        self.buffers: dict[str, int] = {}
        """Bytes of the weights ("model"), the cache of keys and values ("KV"), what a batch is
        computed in ("compute") and its results ("output"), as llama.cpp reports them."""
        log = Log(self._count_buffer)
        llama_cpp.llama_backend_init()
        threads = threads or usable_cores()
        model_params = llama_cpp.llama_model_default_params()
        model_params.n_gpu_layers = 0
        model_params.use_extra_bufts = repack
        self._model = llama_cpp.llama_model_load_from_file(os.fsencode(path), model_params)
        if not self._model:
            raise StageError(
                f"llama.cpp cannot load it: {log.complaint()}",
                where=str(path),
                expected="a whole GGUF file of an architecture it knows",
            )
        context_params = llama_cpp.llama_context_default_params()
        context_params.n_ctx = context * sequences
        context_params.n_seq_max = sequences
        context_params.n_threads = context_params.n_threads_batch = threads
        context_params.offload_kqv = context_params.op_offload = False
        self._context = llama_cpp.llama_init_from_model(self._model, context_params)
        if not self._context:
            llama_cpp.llama_model_free(self._model)
            raise StageError(
                f"no room for a context of {context} tokens: {log.complaint()}", where=str(path)
            )
        self._vocabulary: Any = llama_cpp.llama_model_get_vocab(self._model)

    def _count_buffer(self, line: str) -> None:
        if found := _BUFFER.search(line):
            kind, mebibytes = found.groups()
            self.buffers[kind] = self.buffers.get(kind, 0) + round(float(mebibytes) * (1 << 20))

    def __enter__(self) -> Model:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        llama_cpp.llama_free(self._context)
        llama_cpp.llama_model_free(self._model)

    @property
    def vocabulary_size(self) -> int:
        return int(llama_cpp.llama_vocab_n_tokens(self._vocabulary))

    @property
    def eos(self) -> int:
        return int(llama_cpp.llama_vocab_eos(self._vocabulary))

    @property
    def eot(self) -> int:
        return int(llama_cpp.llama_vocab_eot(self._vocabulary))

    @property
    def bos(self) -> int:
        return int(llama_cpp.llama_vocab_bos(self._vocabulary))

    @property
    def adds_tokens(self) -> bool:
        """Whether llama.cpp puts tokens of its own around a text."""
        return self.adds_bos or self.adds_eos

    @property
    def adds_bos(self) -> bool:
        """Whether llama.cpp begins a text with the token bos."""
        return bool(llama_cpp.llama_vocab_get_add_bos(self._vocabulary))

    @property
    def adds_eos(self) -> bool:
        """Whether llama.cpp ends a text with the token eos."""
        return bool(llama_cpp.llama_vocab_get_add_eos(self._vocabulary))

    @property
    def parameters(self) -> int:
        return int(llama_cpp.llama_model_n_params(self._model))

    @property
    def tensor_bytes(self) -> int:
        return int(llama_cpp.llama_model_size(self._model))

    @property
    def file_type(self) -> str:
        """How the weights are stored, in llama.cpp's words, such as "Q4_K - Medium"."""
        name = llama_cpp.llama_ftype_name(llama_cpp.llama_model_ftype(self._model))
        return name.decode() if name else "unknown"

    @property
    def chat_template(self) -> str:
        """The template in the file; empty when there is none."""
        template = llama_cpp.llama_model_chat_template(self._model, None)
        return template.decode("utf-8", errors="replace") if template else ""

    def metadata(self, key: str) -> str:
        """A text of the file's metadata, at most a kilobyte; empty when there is none."""
        buffer = ctypes.create_string_buffer(1024)
        length = llama_cpp.llama_model_meta_val_str(self._model, key.encode(), buffer, 1024)
        return buffer.value.decode("utf-8", errors="replace") if length >= 0 else ""

    def ends_generation(self, token: int) -> bool:
        return bool(llama_cpp.llama_vocab_is_eog(self._vocabulary, token))

    def tokenize(self, text: str, *, rendered: bool = False) -> list[int]:
        """Token ids; special tokens in the text are read as such. What llama.cpp puts around a
        text is added unless it was `rendered` by a chat template, which writes that itself."""
        data = text.encode("utf-8")
        room = len(data) + 8
        ids = (llama_cpp.llama_token * room)()
        count = llama_cpp.llama_tokenize(
            self._vocabulary, data, len(data), ids, room, not rendered, True
        )
        return list(ids[:count])

    def text(self, tokens: Sequence[int]) -> str:
        """The text of generated tokens; special tokens have none."""
        piece = ctypes.create_string_buffer(512)
        data = b""
        for token in tokens:
            length = llama_cpp.llama_token_to_piece(
                self._vocabulary, token, piece, len(piece), 0, False
            )
            data += piece.raw[: max(0, length)]
        return data.decode("utf-8", errors="replace")

    def token_text(self, token: int) -> str:
        """A token as the vocabulary spells it."""
        spelled = llama_cpp.llama_vocab_get_text(self._vocabulary, token)
        return spelled.decode("utf-8", errors="replace") if spelled else ""

    def render_chat(self, messages: list[dict[str, str]]) -> str:
        """The prompt for these messages by the file's own template, ready for the answer."""
        from llama_cpp.llama_chat_format import Jinja2ChatFormatter

        formatter = Jinja2ChatFormatter(
            self.chat_template,
            eos_token=self.token_text(self.eos),
            bos_token=self.token_text(self.bos),
        )
        return str(formatter(messages=messages).prompt)

    def render_chat_built_in(self, messages: list[dict[str, str]]) -> str:
        """The same by llama.cpp's built-in formatter, which apps use; "" when it knows none."""
        encoded = [(m["role"].encode(), m["content"].encode()) for m in messages]
        chat = (llama_cpp.llama_chat_message * len(encoded))(
            *(llama_cpp.llama_chat_message(role=role, content=text) for role, text in encoded)
        )
        template = self.chat_template.encode()
        room = 4096 + 2 * sum(len(text) for _, text in encoded)
        buffer = ctypes.create_string_buffer(room)
        length = llama_cpp.llama_chat_apply_template(
            template, chat, len(encoded), True, buffer, room
        )
        return buffer.raw[: max(0, length)].decode("utf-8", errors="replace")

    def forget(self) -> None:
        """Empty the context; its buffers keep what is not read any more."""
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self._context), False)

    def decode(self, tokens: Sequence[int]) -> None:
        """Append tokens (at most a batch of 2048) to the context; waits for the result.

        Raises StageError when llama.cpp refuses, as when the context is full.
        """
        ids = (llama_cpp.llama_token * len(tokens))(*tokens)
        self._decode(llama_cpp.llama_batch_get_one(ids, len(tokens)))

    def _decode(self, batch: Any) -> None:
        code = llama_cpp.llama_decode(self._context, batch)
        if code:
            raise StageError(f"llama_decode returned {code}: the context is full or it failed")
        llama_cpp.llama_synchronize(self._context)

    def logits(self, tokens: Sequence[int], first: int = 0) -> Logits:
        """F32 logits [tokens - first, vocabulary] after each token from `first` on; all are read
        from an empty context."""
        self.forget()
        batch = llama_cpp.llama_batch_init(len(tokens), 0, 1)
        try:
            batch.n_tokens = len(tokens)
            for index, token in enumerate(tokens):
                batch.token[index] = token
                batch.pos[index] = index
                batch.n_seq_id[index] = 1
                batch.seq_id[index][0] = 0
                batch.logits[index] = index >= first
            self._decode(batch)
        finally:
            llama_cpp.llama_batch_free(batch)
        rows: Logits = np.stack([self._row(index) for index in range(first, len(tokens))])
        return rows

    def continued(self, count: int) -> list[int]:
        """The `count` likeliest tokens after those in the context, ended or not."""
        written = []
        for _ in range(count):
            written.append(int(self._row(-1).argmax()))
            self.decode(written[-1:])
        return written

    def _row(self, index: int) -> Logits:
        pointer = llama_cpp.llama_get_logits_ith(self._context, index)
        row: Logits = np.ctypeslib.as_array(pointer, (self.vocabulary_size,)).copy()
        return row

    def generate(
        self,
        prompt: Sequence[int],
        limit: int,
        on_token: Callable[[int], None] = lambda count: None,
    ) -> tuple[list[int], bool]:
        """Up to `limit` of the likeliest tokens after `prompt`; True when the model ended by
        itself. The ending token is left out. `on_token` gets the number written so far."""
        self.forget()
        for start in range(0, len(prompt), _BATCH):
            self.decode(prompt[start : start + _BATCH])
        written: list[int] = []
        while len(written) < limit:
            token = int(self._row(-1).argmax())
            if self.ends_generation(token):
                return written, True
            written.append(token)
            on_token(len(written))
            self.decode([token])
        return written, False
