"""What the chat worker and its client say to each other: one JSON object per line.

Requests go to the worker's stdin and events come from its stdout, each with its `kind`. Numbers
are tokens and seconds.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Literal

Message = dict[str, str]
"""One turn: {"role": "system" | "user" | "assistant", "content": text}."""

Reason = Literal["stop", "length", "stopped"]
"""Why an answer ended: the model did, the limit or the context was reached, it was asked to."""


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen. At temperature 0 it is the likeliest and nothing else counts.

    `seed` None draws another answer each time; the answer ends before any text of `stop`. The
    other defaults are llama.cpp's own.
    """

    max_tokens: int = 512
    temperature: float = 0.0
    top_p: float = 0.95
    top_k: int = 40
    min_p: float = 0.05
    repeat_penalty: float = 1.0
    seed: int | None = None
    stop: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Load:
    """Load the one model of this worker."""

    kind: ClassVar = "load"
    path: str
    context: int
    threads: int | None = None
    gpu_layers: int = 0


@dataclass(frozen=True)
class Generate:
    """Answer `messages`. Requests are answered in turn."""

    kind: ClassVar = "generate"
    id: int
    messages: list[Message]
    sampling: Sampling = field(default_factory=Sampling)


@dataclass(frozen=True)
class Stop:
    """End the answer `id` before its next token, also one that waits its turn."""

    kind: ClassVar = "stop"
    id: int


@dataclass(frozen=True)
class Reset:
    """Forget what was said: the next prompt is read whole, so that answers can be compared."""

    kind: ClassVar = "reset"


@dataclass(frozen=True)
class Render:
    """Tell the prompt that `messages` give; answered at once, while an answer is under way too."""

    kind: ClassVar = "render"
    id: int
    messages: list[Message]


Request = Load | Generate | Stop | Reset | Render


@dataclass(frozen=True)
class Loaded:
    """The model is ready. `template` is the chat template in the file, `context` in tokens;
    `threads` and `memory_bytes` are the worker's, None where there is no worker."""

    kind: ClassVar = "loaded"
    seconds: float
    template: str
    context: int
    threads: int | None = None
    memory_bytes: int | None = None


@dataclass(frozen=True)
class Rendered:
    """The prompt as the chat template writes it, and its length in tokens."""

    kind: ClassVar = "rendered"
    id: int
    text: str
    tokens: int


@dataclass(frozen=True)
class Prompt:
    """`done` of `total` prompt tokens are read."""

    kind: ClassVar = "prompt"
    id: int
    done: int
    total: int


@dataclass(frozen=True)
class Token:
    """The next piece of the answer, always whole characters; one token may give none."""

    kind: ClassVar = "token"
    id: int
    text: str


@dataclass(frozen=True)
class Done:
    """The answer has ended.

    `prompt_tokens` counts the whole prompt, `reused_tokens` those of it that were still in the
    context and not read again; the rate counts what was read. `generated_tokens` leaves out the
    token that ends the answer. `time_to_first_token` starts with the request; `memory_bytes` is
    what the worker holds.
    """

    kind: ClassVar = "done"
    id: int
    reason: Reason
    prompt_tokens: int
    reused_tokens: int
    generated_tokens: int
    time_to_first_token: float | None
    prompt_tokens_per_second: float | None
    tokens_per_second: float | None
    memory_bytes: int | None = None


@dataclass(frozen=True)
class Failed:
    """A request could not be done; `id` is None when it concerns the worker as a whole."""

    kind: ClassVar = "error"
    what: str
    id: int | None = None
    where: str | None = None
    expected: str | None = None
    do: str | None = None


Event = Loaded | Rendered | Prompt | Token | Done | Failed

_REQUESTS: dict[str, type[Any]] = {one.kind: one for one in (Load, Generate, Stop, Reset, Render)}
_EVENTS: dict[str, type[Any]] = {
    one.kind: one for one in (Loaded, Rendered, Prompt, Token, Done, Failed)
}


def encode(said: Request | Event) -> bytes:
    """One line. ASCII only, so that no lone surrogate and no newline can break it."""
    return json.dumps({"kind": said.kind, **asdict(said)}).encode("ascii") + b"\n"


def decode_request(line: bytes) -> Request:
    """Raises ValueError for what is no request."""
    kind, fields = _decode(line, _REQUESTS)
    if kind is Generate and isinstance(fields.get("sampling"), dict):
        fields["sampling"] = Sampling(**fields["sampling"])
    return kind(**fields)  # type: ignore[no-any-return]


def decode_event(line: bytes) -> Event:
    """Raises ValueError for what is no event."""
    kind, fields = _decode(line, _EVENTS)
    return kind(**fields)  # type: ignore[no-any-return]


def _decode(line: bytes, kinds: dict[str, type[Any]]) -> tuple[type[Any], dict[str, Any]]:
    fields = json.loads(line)
    if not isinstance(fields, dict) or fields.get("kind") not in kinds:
        raise ValueError(f"no such message: {line[:200]!r}")
    return kinds[fields.pop("kind")], fields
