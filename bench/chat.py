"""The chat against llama-cpp-python's own streaming loop, at Qwen2-1.5B's shape, Q4_K_M.

    MODEL=/path/to/model.Q4_K_M.gguf python -m bench chat

Without MODEL one with random weights is made, with Qwen2's vocabulary where LLAMA_CPP names
llama.cpp's source: needs 8 GB in the folder for temporary files. The loop, the client and the
screen in a pseudo-terminal get the same two questions one after the other, the second timed, in
a process of its own each, several times in turn; medians count. All of it twice: an answer of
words, as a report is, and one with a line break at every second token, the most that there is to
draw. How late the event loop wakes is measured in the first answer, as looking takes time from
the model. Then, through the client, a second turn after 1,500 tokens, and how soon a stop is
heard. Times in milliseconds.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import pexpect
import psutil

from bench import reference_converter
from bench.convert import SHAPE
from bench.gguf_models import build
from bench.terminal import spawn
from haruon_tui import planning
from haruon_tui.chat.client import ChatClient
from haruon_tui.chat.protocol import Done, Message, Prompt, Token
from haruon_tui.dataset.persona import SYSTEM_PROMPT
from haruon_tui.gguf.convert import convert
from haruon_tui.gguf.native import usable_cores
from haruon_tui.gguf.quantize import quantize
from haruon_tui.jobs.events import EventWriter
from haruon_tui.jobs.store import Store
from haruon_tui.workspace import Workspace

CONTEXT = 2048
TOKENS = 96
HISTORY = 1500
TRIES = 7
ANSWERS = {"words": 0.8, "lines": 0.0}
"""The temperature of each. A model with random weights writes words of all languages at the first,
and a line break with every second token at the second, which no report has."""
_PROBE_WORDS = 50
FIRST, TIMED = "warm up", "tell me what you are like"
_REFERENCE = """
import json, sys, time
from llama_cpp import Llama
asked = json.loads(sys.argv[1])
llama = Llama(asked["model"], n_ctx=asked["context"], n_threads=asked["threads"],
              n_threads_batch=asked["threads"], verbose=False)
for question in asked["questions"]:
    messages = [{"role": "system", "content": asked["system"]},
                {"role": "user", "content": question}]
    started, first, text, prompt = time.perf_counter(), None, "", 0
    for chunk in llama.create_chat_completion(
        messages, stream=True, temperature=asked["temperature"], max_tokens=asked["tokens"], seed=7
    ):
        piece = chunk["choices"][0]["delta"].get("content")
        if piece:
            last = time.perf_counter()
            if first is None:
                first, at = last, llama.n_tokens
            text += piece
count = llama.n_tokens - at
print(json.dumps({"first": first - started, "rate": count / (last - first), "text": text}))
"""


def measure() -> dict[str, Any]:
    with _model() as model:
        found: dict[str, Any] = {"cores": usable_cores(), "bytes": model.stat().st_size}
        for name, temperature in ANSWERS.items():
            found[name] = _compared(model, temperature)
        return found | _second_turn_and_stops(model) | _memory(model)


def _compared(model: Path, temperature: float) -> dict[str, Any]:
    loop, client, screen = [], [], []
    for _ in range(TRIES):
        loop.append(_reference(model, temperature))
        client.append(_client(model, temperature))
        screen.append(_screen(model, temperature))
    found: dict[str, Any] = {}
    for name, runs in (("loop", loop), ("client", client), ("screen", screen)):
        found[name] = {
            "first_ms": _ms(median(run["first"] for run in runs)),
            "tokens_per_second": round(median(run["rate"] for run in runs), 2),
        }
    first = {name: found[name]["first_ms"] for name in ("loop", "screen")}
    found["first_painted_later_ms"] = round(first["screen"] - first["loop"], 1)
    rates = {name: found[name]["tokens_per_second"] for name in ("loop", "screen")}
    found["speed_ratio"] = round(rates["screen"] / rates["loop"], 3)
    # the loop drops bytes that are no character, the client shows them as one
    texts = {run["text"].replace("\ufffd", "") for run in (*loop, *client)}
    found["same_text"] = len(texts) == 1
    lateness = sorted(late for run in screen for late in run["lateness"])
    found["lateness_ms"] = {
        "p50": _ms(lateness[len(lateness) // 2]),
        "p99": _ms(lateness[int(len(lateness) * 0.99)]),
        "max": _ms(lateness[-1]),
    }
    return found


@contextmanager
def _model() -> Any:
    if given := os.environ.get("MODEL"):
        yield Path(given)
        return
    source = reference_converter.folder()
    real = source / "models" / "ggml-vocab-qwen2.gguf" if source else None
    with tempfile.TemporaryDirectory() as folder:
        whole, made = Path(folder) / "model.F16.gguf", Path(folder) / "model.Q4_K_M.gguf"
        convert(build(Path(folder) / "model", real_vocabulary=real, **SHAPE), whole)
        quantize(whole, made, "Q4_K_M")
        whole.unlink()
        yield made


def _messages(question: str) -> list[Message]:
    return [
        {"role": "system", "content": SYSTEM_PROMPT},
        {"role": "user", "content": question},
    ]


def _reference(model: Path, temperature: float) -> dict[str, Any]:
    asked = {
        "model": str(model),
        "context": CONTEXT,
        "threads": usable_cores(),
        "questions": [FIRST, TIMED],
        "system": SYSTEM_PROMPT,
        "tokens": TOKENS,
        "temperature": temperature,
    }
    command = [sys.executable, "-c", _REFERENCE, json.dumps(asked)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _client(model: Path, temperature: float) -> dict[str, Any]:
    with ChatClient(model, context=CONTEXT) as chat:
        list(chat.generate(_messages(FIRST), max_tokens=TOKENS))
        return _asked(chat, _messages(TIMED), temperature=temperature)


def _asked(
    chat: ChatClient, messages: list[Message], tokens: int = TOKENS, temperature: float = 0.0
) -> dict[str, Any]:
    started, first, text, done = time.perf_counter(), 0.0, "", None
    for event in chat.generate(messages, max_tokens=tokens, temperature=temperature, seed=7):
        if isinstance(event, Token) and event.text:
            first = first or time.perf_counter() - started
            text += event.text
        if isinstance(event, Done):
            done = event
    assert done
    return {"first": first, "rate": done.tokens_per_second, "text": text, "done": done}


def _screen(model: Path, temperature: float) -> dict[str, Any]:
    """The real program in a pseudo-terminal, on a workspace with this file as a finished run."""
    with tempfile.TemporaryDirectory() as kept:
        folder = Path(kept)
        workspace = Workspace.init(folder / "ws", "tiny")
        workspace.file.write_text(
            f'profile = "tiny"\n[chat]\ncontext = {CONTEXT}\ntemperature = {temperature}\n'
            f"max_tokens = {TOKENS}\nseed = 7\n"
        )
        store = Store(workspace.runs)
        step = planning.plan(workspace, store)["quantize"]
        run = store.create(
            {
                "stage": "quantize",
                "params": step.params.model_dump(mode="json"),
                "inputs": {},
                "fingerprint": step.fingerprint,
            }
        )
        EventWriter(run.log, attempt=1).write("finished", result={"summary": "made"})
        (run.artifacts / "model.Q4_K_M.gguf").symlink_to(model)
        out = folder / "out.json"
        script = str(Path(__file__).with_name("chatting_app.py"))
        command = [sys.executable, script, str(workspace.folder), str(out), FIRST, TIMED]
        child = spawn(command, folder)
        child.timeout = 300
        child.expect(pexpect.EOF)
        child.close()
        found: dict[str, Any] = json.loads(out.read_text())
        return found


def _second_turn_and_stops(model: Path) -> dict[str, Any]:
    with ChatClient(model, context=2 * CONTEXT) as chat:
        *_, short = chat.generate(_messages(_words(_PROBE_WORDS)), max_tokens=1)
        *_, none = chat.generate(_messages(""), max_tokens=1)
        assert isinstance(short, Done)
        assert isinstance(none, Done)
        each = (short.prompt_tokens - none.prompt_tokens) / _PROBE_WORDS
        messages = _messages(_words(int((HISTORY - none.prompt_tokens) / each)))
        chat.reset()
        cold = _asked(chat, messages, 16)
        told = [{"role": "assistant", "content": cold["text"]}]
        second = _asked(chat, [*messages, *told, {"role": "user", "content": "and now?"}], 16)
        chat.reset()
        while_reading = _stopped(chat, messages, Prompt)
        while_writing = _stopped(chat, _messages(FIRST), Token)
    return {
        "history_tokens": cold["done"].prompt_tokens,
        "cold_first_ms": _ms(cold["first"]),
        "second_turn_first_ms": _ms(second["first"]),
        "second_turn_ratio": round(second["first"] / cold["first"], 3),
        "stop_while_reading_ms": _ms(while_reading),
        "stop_while_writing_ms": _ms(while_writing),
    }


def _words(count: int) -> str:
    return " ".join(f"word{number % 10}" for number in range(count))


def _stopped(chat: ChatClient, messages: list[Message], at: type) -> float:
    """Seconds from a stop, sent in the middle of computing, to the answer's end."""
    asked = 0.0
    for event in chat.generate(messages, max_tokens=200):
        if isinstance(event, at) and not asked:
            time.sleep(0.05)  # well within the next piece or token
            asked = time.perf_counter()
            chat.stop()
        if isinstance(event, Done):
            assert event.reason == "stopped", event
    return time.perf_counter() - asked


def _memory(model: Path) -> dict[str, Any]:
    """Two workers side by side, and what is left of them once they are closed."""
    chats = [ChatClient(model, context=CONTEXT, threads=1) for _ in range(2)]
    for chat in chats:
        chat.start()
        list(chat.generate(_messages(FIRST), max_tokens=2))
    workers = psutil.Process().children()
    used = sum(worker.memory_full_info().pss for worker in workers)
    free = psutil.virtual_memory().available
    for chat in chats:
        chat.close()
    left = [worker for worker in workers if worker.is_running()]
    freed = psutil.virtual_memory().available - free
    return {
        "two_workers_mb": round(used / 1e6),
        "workers_left": len(left),
        "freed_mb_beside_the_page_cache": round(freed / 1e6),
    }


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)
