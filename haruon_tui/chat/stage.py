"""Stage "chat": load a quantized model as the chat does, and ask it one evaluation case."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, Field

from haruon_tui import artifacts, stage
from haruon_tui.chat.client import ChatClient
from haruon_tui.chat.protocol import Done, Prompt, Reason, Token
from haruon_tui.dataset import golden, persona, report
from haruon_tui.errors import ConfigurationError
from haruon_tui.settings import Settings

if TYPE_CHECKING:
    from haruon_tui.jobs.context import JobContext

_PREFERRED = "Q4_K_M"
_SAY_EVERY_SECONDS = 1.0


class Params(stage.Params):
    """Which model is asked, the file whose first case it is asked, and how it may answer."""

    model: stage.InputPath
    cases: stage.InputPath
    context: int = Field(ge=64)
    max_tokens: int = Field(ge=1)
    temperature: float = Field(ge=0.0)
    top_p: float = Field(gt=0.0, le=1.0)
    seed: int


class Timings(BaseModel):
    """Seconds, tokens and tokens per second, as protocol.Done gives them."""

    load_seconds: float
    prompt_tokens: int
    generated_tokens: int
    time_to_first_token: float | None
    prompt_tokens_per_second: float | None
    tokens_per_second: float | None


class Result(stage.Result):
    """The answer and how it went; answer.json has the question too."""

    case: str
    text: str
    complete: bool
    reason: Reason
    timings: Timings


def configure(settings: Settings, inputs: stage.Inputs) -> Params:
    """Params from haruon.toml: the Q4_K_M file where it is made, else the first one.

    Raises ConfigurationError when no quantization is made.
    """
    types = settings.gguf.quantize
    if not types:
        raise ConfigurationError(
            "no quantization is made, so there is none to chat with",
            where="gguf.quantize",
            expected="at least one type",
            do=f'gguf.quantize = ["{_PREFERRED}"] in haruon.toml',
        )
    chosen = _PREFERRED if _PREFERRED in types else types[0]
    return Params(
        model=inputs.artifact("quantize", f"model.{chosen}.gguf"),
        cases=inputs.artifact("dataset", "cases.jsonl"),
        context=settings.chat.context,
        max_tokens=settings.chat.max_tokens,
        temperature=settings.chat.temperature,
        top_p=settings.chat.top_p,
        seed=settings.chat.seed,
    )


def run(params: Params, job: JobContext) -> Result:
    """Ask the first case and write answer.json.

    Raises ConfigurationError for a file without cases, StageError when the model cannot be
    loaded, cannot answer, or dies.
    """
    case = _first(params.cases)
    job.log(f"loading {params.model.name}")
    with contextlib.closing(ChatClient(params.model, context=params.context)) as chat:
        loaded = chat.start()
        job.log(f"loaded in {loaded.seconds:.2f} s, asking {case['id']}")
        text, done = _ask(chat, case, params, job)
    timings = Timings(
        load_seconds=loaded.seconds,
        prompt_tokens=done.prompt_tokens,
        generated_tokens=done.generated_tokens,
        time_to_first_token=done.time_to_first_token,
        prompt_tokens_per_second=done.prompt_tokens_per_second,
        tokens_per_second=done.tokens_per_second,
    )
    complete = report.parse(text).complete
    answer = {
        "case": case,
        "model": params.model.name,
        "text": text,
        "complete": complete,
        "stopped": done.reason == "stop",
        "reason": done.reason,
        "timings": timings.model_dump(),
    }
    with job.artifact("answer.json") as temporary:
        artifacts.write_json(temporary, answer)
    return Result(
        summary=_summary(params.model.name, done, complete),
        case=case["id"],
        text=text,
        complete=complete,
        reason=done.reason,
        timings=timings,
    )


def _first(path: Path) -> golden.Case:
    cases = golden.load_cases(path)
    if not cases:
        raise ConfigurationError("holds no evaluation case", where=str(path))
    return cases[0]


def _ask(
    chat: ChatClient, asked: golden.Case, params: Params, job: JobContext
) -> tuple[str, Done]:
    pieces: list[str] = []
    tokens = 0
    said = time.monotonic()
    for event in chat.generate(
        persona.prompt_messages(asked["answers"]),
        max_tokens=params.max_tokens,
        temperature=params.temperature,
        top_p=params.top_p,
        seed=params.seed,
    ):
        match event:
            case Token():
                pieces.append(event.text)
                tokens += 1
            case Done():
                job.progress(tokens, max(tokens, 1), phase="answer", unit="tokens")
                return "".join(pieces), event
        job.raise_if_stopped()
        if time.monotonic() - said >= _SAY_EVERY_SECONDS:
            said = time.monotonic()
            if isinstance(event, Prompt):
                job.progress(event.done, event.total, phase="prompt", unit="tokens")
            else:
                job.progress(tokens, params.max_tokens, phase="answer", unit="tokens")
    raise AssertionError("an answer always ends with Done")


def _summary(model: str, done: Done, complete: bool) -> str:
    speed = f", {done.tokens_per_second:.0f} tokens/s" if done.tokens_per_second else ""
    ended = {"stop": "ended by itself", "length": "was cut at the limit", "stopped": "stopped"}
    return (
        f"{model} wrote {'a complete' if complete else 'an incomplete'} report of "
        f"{done.generated_tokens} tokens that {ended[done.reason]}{speed}"
    )
