"""Makes dataset records of rows: ChatML, ShareGPT, Alpaca, prompt and completion, and columns."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any, Literal

from haruon_tui.dataset import persona, records, strict_json
from haruon_tui.dataset.records import Record
from haruon_tui.dataset.report import parse

Shape = Literal["chatml", "sharegpt", "alpaca", "prompt-completion", "columns"]

TARGETS = (
    "system",
    "user",
    "assistant",
    "id",
    *(trait.key for trait in persona.TRAITS),
    *(f"{trait.key}_level" for trait in persona.TRAITS),
)
"""What --columns can name."""

SYSTEM_FILLED = "no system prompt: Haruon's is filled in"
ANSWERS_JOINED = "five answers in columns: put in the guide's form"
INSTRUCTION_SYSTEM = "the input holds the five answers: the instruction becomes the system prompt"

_ROLES = {
    "system": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bard": "assistant",
    "model": "assistant",
}
_LISTS = ("messages", "conversations", "conversation")
_PROMPTS = ("prompt", "question")
_COMPLETIONS = ("completion", "response", "answer")
USED: dict[Shape, tuple[str, ...]] = {
    "chatml": (*_LISTS, "system"),
    "sharegpt": (*_LISTS, "system"),
    "alpaca": ("instruction", "input", "output", "system", "history"),
    "prompt-completion": (*_PROMPTS, *_COMPLETIONS, "system"),
    "columns": (),
}
"""The columns that a shape reads besides `id` and `metadata`."""

_COLUMN_NAMES: dict[str, tuple[str, ...]] = {
    "system": ("system", "systemprompt"),
    "user": ("user", "question", "prompt", "input", "질문", "답변"),
    "assistant": ("assistant", "report", "response", "output", "completion", "리포트", "보고서"),
    "id": ("id",),
    **{
        trait.key: (trait.key, trait.korean, f"{trait.korean}답변", f"{trait.key}answer")
        for trait in persona.TRAITS
    },
    **{
        f"{trait.key}_level": (f"{trait.key}level", f"{trait.korean}수준", f"{trait.korean}레벨")
        for trait in persona.TRAITS
    },
}


class Unfit(ValueError):
    """Why a row makes no record."""


def shape_of(row: Mapping[str, Any]) -> Shape | None:
    """The shape of one row, from its keys and what stands under them."""
    for key in _LISTS:
        listed = _parsed(row.get(key))
        if isinstance(listed, list) and listed and isinstance(listed[0], dict):
            if {"role", "content"} <= listed[0].keys() and listed[0].get("role") is not None:
                return "chatml"
            if {"from", "value"} <= listed[0].keys():
                return "sharegpt"
    if "instruction" in row and "output" in row:
        return "alpaca"
    if _has(row, _PROMPTS) and _has(row, _COMPLETIONS):
        return "prompt-completion"
    columns = columns_of(row)
    traits = all(trait.key in columns for trait in persona.TRAITS)
    return "columns" if "assistant" in columns and (traits or "user" in columns) else None


def columns_of(row: Mapping[str, Any]) -> dict[str, str]:
    """Which column of a row goes where, by the columns' names."""
    plain = {re.sub(r"[\s_\-]", "", str(name)).lower(): str(name) for name in reversed(list(row))}
    found: dict[str, str] = {}
    for target, names in _COLUMN_NAMES.items():
        name = next((plain[name] for name in names if name in plain), None)
        if name is not None:
            found[target] = name
    return found


def convert(
    row: Mapping[str, Any], shape: Shape, columns: Mapping[str, str], name: str
) -> tuple[Record, Counter[str]]:
    """The record of a row, and what was done to make it. `name` is its id where it has none.

    Raises Unfit.
    """
    notes: Counter[str] = Counter()
    if shape in ("chatml", "sharegpt"):
        messages = _conversation(row, shape)
    elif shape == "alpaca":
        messages = _alpaca(row, notes)
    elif shape == "prompt-completion":
        messages = _prompt_completion(row)
    else:
        messages = _columns(row, columns, notes)
    if messages[0]["role"] != "system":
        messages.insert(0, {"role": "system", "content": persona.SYSTEM_PROMPT})
        notes[SYSTEM_FILLED] += 1
    roles = [message["role"] for message in messages]
    if "system" in roles[1:]:
        raise Unfit("has a system prompt after its first message")
    if "user" not in roles:
        raise Unfit("has no question: no message of the user")
    if roles[-1] != "assistant":
        raise Unfit("does not end with an answer of the assistant")
    return {"messages": messages, "metadata": _metadata(row, columns, messages, name)}, notes


def _conversation(row: Mapping[str, Any], shape: Shape) -> list[dict[str, str]]:
    role_key, text_key = ("role", "content") if shape == "chatml" else ("from", "value")
    key = next((key for key in _LISTS if row.get(key) is not None), None)
    if key is None:
        raise Unfit("has no 'messages' and no 'conversations'")
    listed = _parsed(row[key])
    if not isinstance(listed, list) or not listed:
        raise Unfit(f"{key!r} is no list of messages")
    messages = [
        _message(message, role_key, text_key, f"{key}[{place}]")
        for place, message in enumerate(listed)
    ]
    system = row.get("system")
    if isinstance(system, str) and system.strip() and messages[0]["role"] != "system":
        messages.insert(0, {"role": "system", "content": system})
    return messages


def _message(message: Any, role_key: str, text_key: str, where: str) -> dict[str, str]:
    if not isinstance(message, dict):
        raise Unfit(f"{where} is no object")
    role = message.get(role_key)
    known = _ROLES.get(role.strip().lower()) if isinstance(role, str) else None
    if known is None:
        raise Unfit(f"{where}.{role_key} is {_shown(role)}; known are {', '.join(_ROLES)}")
    return {"role": known, "content": _text(message.get(text_key), f"{where}.{text_key}")}


def _text(value: Any, where: str) -> str:
    """A text, or the text of the parts that the OpenAI form may have."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value:
        parts = [part.get("text") if isinstance(part, dict) else None for part in value]
        if all(isinstance(part, str) for part in parts):
            return "".join(str(part) for part in parts)
    raise Unfit(f"{where} is {_shown(value)}, not a text")


def _alpaca(row: Mapping[str, Any], notes: Counter[str]) -> list[dict[str, str]]:
    instruction = _text(row.get("instruction"), "instruction")
    given = row.get("input")
    input = "" if given is None else _text(given, "input")
    system = row.get("system")
    messages = []
    if isinstance(system, str) and system.strip():
        messages.append({"role": "system", "content": system})
    elif instruction.strip() and _holds_answers(input):
        messages.append({"role": "system", "content": instruction})
        notes[INSTRUCTION_SYSTEM] += 1
        instruction = ""
    for place, turn in enumerate(_parsed(row.get("history")) or []):
        if not isinstance(turn, list) or len(turn) != 2:
            raise Unfit(f"history[{place}] is no pair of question and answer")
        messages.append({"role": "user", "content": _text(turn[0], f"history[{place}][0]")})
        messages.append({"role": "assistant", "content": _text(turn[1], f"history[{place}][1]")})
    question = "\n".join(part for part in (instruction, input) if part.strip())
    if not question:
        raise Unfit("has neither an instruction nor an input")
    messages.append({"role": "user", "content": question})
    messages.append({"role": "assistant", "content": _text(row.get("output"), "output")})
    return messages


def _prompt_completion(row: Mapping[str, Any]) -> list[dict[str, str]]:
    messages: list[dict[str, str]] = []
    system = row.get("system")
    if isinstance(system, str) and system.strip():
        messages.append({"role": "system", "content": system})
    for role, names in (("user", _PROMPTS), ("assistant", _COMPLETIONS)):
        key = next((name for name in names if row.get(name) is not None), None)
        if key is None:
            raise Unfit(f"has no {' and no '.join(repr(name) for name in names)}")
        value = row[key]
        if isinstance(value, list):  # the conversational form of TRL
            messages += [
                _message(message, "role", "content", f"{key}[{place}]")
                for place, message in enumerate(value)
            ]
        else:
            messages.append({"role": role, "content": _text(value, key)})
    if not messages:
        raise Unfit("holds no message")
    return messages


def _columns(
    row: Mapping[str, Any], columns: Mapping[str, str], notes: Counter[str]
) -> list[dict[str, str]]:
    def cell(target: str) -> str:
        value = row.get(columns.get(target, ""))
        return value.strip() if isinstance(value, str) else "" if value is None else str(value)

    messages = []
    if cell("system"):
        messages.append({"role": "system", "content": cell("system")})
    if cell("user"):
        messages.append({"role": "user", "content": cell("user")})
    else:
        answers = {trait.key: " ".join(cell(trait.key).split()) for trait in persona.TRAITS}
        missing = [trait.korean for trait in persona.TRAITS if not answers[trait.key]]
        if missing:
            raise Unfit(f"has no answer about {', '.join(missing)}")
        messages.append({"role": "user", "content": persona.user_turn(answers)})
        notes[ANSWERS_JOINED] += 1
    if not cell("assistant"):
        raise Unfit("has no report")
    messages.append({"role": "assistant", "content": cell("assistant")})
    return messages


def _metadata(
    row: Mapping[str, Any], columns: Mapping[str, str], messages: list[dict[str, str]], name: str
) -> dict[str, Any]:
    given = _parsed(row.get("metadata"))
    metadata = (
        {key: plain_value(value) for key, value in given.items()}
        if isinstance(given, dict)
        else {}
    )
    metadata = {key: value for key, value in metadata.items() if value is not None}
    id = metadata.get("id") or row.get(columns.get("id", "id"))
    levels = {
        trait.key: level.strip()
        for trait in persona.TRAITS
        if isinstance(level := row.get(columns.get(f"{trait.key}_level", "")), str)
        and level.strip()
    }
    metadata["id"] = str(id) if id not in (None, "") else name
    metadata.setdefault("source", "file")
    metadata.setdefault("levels", levels or parse(messages[-1]["content"]).levels)
    return metadata


def plain_value(value: Any) -> Any:
    """A value as JSON has it; tables also hold times, decimals and bytes."""
    if isinstance(value, dict):
        return {str(key): plain_value(held) for key, held in value.items() if held is not None}
    if isinstance(value, list):
        return [plain_value(held) for held in value]
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return str(value)


def _parsed(value: Any) -> Any:
    """A cell of a text table that holds JSON."""
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        try:
            return strict_json.loads(value)
        except strict_json.Fault:
            return value
    return value


def _holds_answers(text: str) -> bool:
    turn = {"messages": [{"role": "user", "content": text}]}
    return records.answers(turn) is not None


def _has(row: Mapping[str, Any], names: tuple[str, ...]) -> bool:
    return any(name in row for name in names)


def _shown(value: Any) -> str:
    shown = json.dumps(plain_value(value), ensure_ascii=False)
    return shown if len(shown) <= 40 else shown[:39] + "…"
