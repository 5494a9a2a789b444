"""`haruon chat`: a conversation, one prompt, or a pipe."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from dataclasses import asdict
from pathlib import Path

from haruon_tui import planning
from haruon_tui.chat.client import ChatClient
from haruon_tui.chat.protocol import Done, Token
from haruon_tui.cli import output
from haruon_tui.dataset.persona import prompt_messages
from haruon_tui.errors import ConfigurationError, Exit
from haruon_tui.jobs.store import Store
from haruon_tui.settings import ChatSettings, default_settings
from haruon_tui.workspace import Workspace

_PREFERRED = "Q4_K_M"


def chat(arguments: argparse.Namespace) -> int:
    """Answer one prompt (--prompt, --case or stdin), or talk until the end of input."""
    settings, model = _settings(arguments), _model(arguments)
    with ChatClient(model, context=settings.context) as client:
        opening = [{"role": "system", "content": arguments.system}] if arguments.system else []
        if arguments.case:
            return _once(client, settings, _case(arguments), arguments.json)
        if arguments.prompt or arguments.json or not sys.stdin.isatty():
            prompt = arguments.prompt or sys.stdin.read()
            messages = [*opening, {"role": "user", "content": prompt}]
            return _once(client, settings, messages, arguments.json)
        return _converse(client, settings, opening, model)


def _once(
    client: ChatClient, settings: ChatSettings, messages: list[dict[str, str]], as_json: bool
) -> int:
    text, done = _answer(client, settings, messages, show=not as_json)
    if as_json:
        output.document({"text": text, **asdict(done)})
    else:
        output.line(_timings(done), stderr=True)
    return Exit.OK


def _converse(
    client: ChatClient, settings: ChatSettings, messages: list[dict[str, str]], model: Path
) -> int:
    output.line(f"{model.name}: Ctrl+C stops an answer, Ctrl+D ends the talk", stderr=True)
    while True:
        try:
            prompt = input("> ")
        except EOFError:
            return Exit.OK
        except KeyboardInterrupt:
            print()
            continue
        messages = [*messages, {"role": "user", "content": prompt}]
        text, done = _answer(client, settings, messages, show=True)
        output.line(_timings(done), stderr=True)
        messages = [*messages, {"role": "assistant", "content": text}]


def _answer(
    client: ChatClient, settings: ChatSettings, messages: list[dict[str, str]], *, show: bool
) -> tuple[str, Done]:
    sampling = settings.model_dump(include={"temperature", "top_p", "max_tokens", "seed"})
    pieces: list[str] = []
    done: Done | None = None
    before = signal.signal(signal.SIGINT, lambda *_: client.stop())
    try:
        for event in client.generate(messages, **sampling):
            if isinstance(event, Token):
                pieces.append(event.text)
                if show:
                    print(output.clean(event.text), end="", flush=True)
            elif isinstance(event, Done):
                done = event
    finally:
        signal.signal(signal.SIGINT, before)
    if show:
        print(flush=True)
    assert done is not None
    return "".join(pieces), done


def _timings(done: Done) -> str:
    rate = f"{done.tokens_per_second:.1f} tokens/s" if done.tokens_per_second else "-"
    first = f"{done.time_to_first_token:.2f} s" if done.time_to_first_token else "-"
    ended = {"stop": "stopped by itself", "length": "cut at the limit", "stopped": "stopped"}
    return f"[{done.generated_tokens} tokens, {rate}, first after {first}, {ended[done.reason]}]"


def _settings(arguments: argparse.Namespace) -> ChatSettings:
    try:
        return Workspace.find(arguments.workspace).settings.chat
    except ConfigurationError:
        if arguments.workspace or not arguments.model:
            raise
        return default_settings("qwen2-1.5b").chat  # a file outside any workspace


def _model(arguments: argparse.Namespace) -> Path:
    """The file named, or the workspace's own of the type named."""
    if arguments.model and Path(arguments.model).exists():
        return Path(arguments.model)
    if arguments.model and (arguments.model.endswith(".gguf") or "/" in arguments.model):
        raise ConfigurationError("there is no such file", where=arguments.model)
    workspace = Workspace.find(arguments.workspace)
    steps = planning.plan(workspace, Store(workspace.runs))
    made = [
        path
        for name in ("quantize", "convert")
        if (run := steps[name].finished)
        for path in sorted(run.artifacts.glob("*.gguf"))
    ]
    if not made:
        raise ConfigurationError(
            "there is no GGUF model in this workspace yet",
            where=str(workspace.folder),
            do="haruon pipeline --to quantize, or name a file",
        )
    wanted = arguments.model or _PREFERRED
    for path in made:
        if path.suffixes[-2].removeprefix(".") == wanted:
            return path
    if arguments.model:
        types = ", ".join(path.suffixes[-2].removeprefix(".") for path in made)
        raise ConfigurationError(f"there is no {arguments.model} here", expected=types)
    return made[0]


def _case(arguments: argparse.Namespace) -> list[dict[str, str]]:
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
