"""`haruon chat`: a conversation, one prompt, or a pipe."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from haruon_tui import planning
from haruon_tui.chat.client import ChatClient
from haruon_tui.chat.models import names_of
from haruon_tui.chat.protocol import Done, Message, Token
from haruon_tui.chat.remote import Endpoint, RemoteClient
from haruon_tui.chat.side_by_side import sampling_of
from haruon_tui.cli import output
from haruon_tui.cli.chat_model import chat_settings, named_model
from haruon_tui.dataset.persona import SYSTEM_PROMPT, prompt_messages
from haruon_tui.errors import ConfigurationError, Exit
from haruon_tui.jobs.store import Store
from haruon_tui.workspace import Workspace

_ENDED = {"stop": "stopped by itself", "length": "cut at the limit", "stopped": "stopped"}


@dataclass(frozen=True)
class Asked:
    """The client that answers, and how it is asked."""

    client: ChatClient | RemoteClient
    name: str
    sampling: dict[str, Any]
    as_json: bool


def chat(arguments: argparse.Namespace) -> int:
    """Answer one prompt (--prompt, --case or stdin), or talk until the end of input."""
    settings, model = chat_settings(arguments), named_model(arguments)
    once = bool(arguments.case or arguments.prompt is not None or arguments.json)
    once = once or not sys.stdin.isatty()
    question = _question(arguments) if once else []  # before a model is loaded for nothing
    client: ChatClient | RemoteClient
    if isinstance(model, Path):
        client = ChatClient(
            model,
            context=settings.context,
            threads=settings.threads or None,
            gpu_layers=settings.gpu_layers,
        )
    else:
        client = RemoteClient(model)
    how = sampling_of(settings)
    with client:
        if isinstance(client, RemoteClient):
            model = Endpoint(client.url, client.model)  # the server has said which it is
        asked = Asked(client, names_of([model])[0], how, arguments.json)
        return _once(asked, question) if once else _converse(asked, _opening(arguments))


def _question(arguments: argparse.Namespace) -> list[Message]:
    if arguments.case:
        return _case(arguments)
    prompt = arguments.prompt
    if prompt is None:
        try:
            prompt = sys.stdin.buffer.read().decode("utf-8")
        except UnicodeDecodeError as error:
            raise ConfigurationError(
                f"byte {error.start} is no UTF-8", where="stdin", expected="a prompt as UTF-8 text"
            ) from None
    if not prompt.strip():
        raise ConfigurationError(
            "the prompt is empty",
            where="stdin" if arguments.prompt is None else "--prompt",
            expected="a question",
        )
    return [*_opening(arguments), {"role": "user", "content": prompt}]


def _opening(arguments: argparse.Namespace) -> list[Message]:
    """The system prompt: the chat screen's, unless another or none is asked for."""
    system = SYSTEM_PROMPT if arguments.system is None else arguments.system
    return [{"role": "system", "content": system}] if system else []


def _once(asked: Asked, messages: list[Message]) -> int:
    text, done = _answer(asked, messages)
    if asked.as_json:
        timings = asdict(done)
        del timings["id"]
        how = asked.sampling
        output.document(
            {"model": asked.name, "text": text, **timings, "seed": how["seed"], "sampling": how}
        )
    else:
        output.line(_timings(done), stderr=True)
    return Exit.INTERRUPTED if done.reason == "stopped" else Exit.OK


def _converse(asked: Asked, messages: list[Message]) -> int:
    output.line(f"{asked.name}: Ctrl+C stops an answer, Ctrl+D ends the talk", stderr=True)
    while True:
        try:
            prompt = input("> ")
        except EOFError:
            return Exit.OK
        except KeyboardInterrupt:
            print()
            continue
        if not prompt.strip():
            continue
        messages = [*messages, {"role": "user", "content": prompt}]
        text, done = _answer(asked, messages)
        output.line(_timings(done), stderr=True)
        messages = [*messages, {"role": "assistant", "content": text}]


def _answer(asked: Asked, messages: list[Message]) -> tuple[str, Done]:
    """The answer, shown as it comes unless it is for a JSON document. Ctrl+C ends it, a second
    one the program."""
    pieces: list[str] = []
    done: Done | None = None

    def stop(*_: object) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        # in a thread: this one may hold the client's lock
        threading.Thread(target=asked.client.stop, daemon=True).start()

    before = signal.signal(signal.SIGINT, stop)
    try:
        for event in asked.client.generate(messages, **asked.sampling):
            if isinstance(event, Token):
                pieces.append(event.text)
                if not asked.as_json:
                    output.piece(event.text)
            elif isinstance(event, Done):
                done = event
    finally:
        signal.signal(signal.SIGINT, before)
    if not asked.as_json:
        print(flush=True)
    assert done is not None
    return "".join(pieces), done


def _timings(done: Done) -> str:
    words = [f"{done.generated_tokens} tokens"]
    if done.tokens_per_second:
        words.append(f"{done.tokens_per_second:.1f} tokens/s")
    if done.time_to_first_token:
        words.append(f"first after {done.time_to_first_token:.2f} s")
    if done.prompt_tokens_per_second:
        words.append(f"prompt {done.prompt_tokens_per_second:.0f} tokens/s")
    return f"[{', '.join([*words, _ENDED[done.reason]])}]"


def _case(arguments: argparse.Namespace) -> list[Message]:
    workspace = Workspace.find(arguments.workspace)
    run = planning.plan(workspace, Store(workspace.runs))["dataset"].finished
    if not run:
        raise ConfigurationError("there are no cases yet", do="haruon data build")
    lines = (run.artifacts / "cases.jsonl").read_text("utf-8").splitlines()
    cases = {case["id"]: case for case in map(json.loads, lines)}
    case = next(iter(cases.values())) if arguments.case == "first" else cases.get(arguments.case)
    if case is None:
        raise ConfigurationError(
            f"there is no case {arguments.case!r}",
            where="--case",
            expected=", ".join([*list(cases)[:5], "…"]),
        )
    return prompt_messages(case["answers"])
