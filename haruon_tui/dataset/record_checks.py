"""Checks of a record as JSON: its shape, its roles, its metadata, the form of the answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from haruon_tui.dataset import persona, records
from haruon_tui.dataset.hit import Hit
from haruon_tui.dataset.report import parse
from haruon_tui.dataset.rules import Rule

ROLES = ("system", "user", "assistant")
_TRAITS = {trait.key: trait for trait in persona.TRAITS}


def messages(record: object) -> list[tuple[int, dict[str, Any]]]:
    """The messages that are objects, each with its place in the list."""
    listed = record.get("messages") if isinstance(record, dict) else None
    return [
        (place, message)
        for place, message in enumerate(listed if isinstance(listed, list) else [])
        if isinstance(message, dict)
    ]


def in_form(record: object) -> tuple[str, str, str] | None:
    """The texts of system, user and assistant, where the record is just these three messages and
    none is empty; None for any other. It says at once what most records are."""
    listed = record.get("messages") if isinstance(record, dict) else None
    if not isinstance(listed, list) or len(listed) != len(ROLES):
        return None
    texts = []
    for message, role in zip(listed, ROLES, strict=True):
        if not isinstance(message, dict) or message.get("role") != role:
            return None
        text = message.get("content")
        if not isinstance(text, str) or not text or text.isspace():
            return None
        texts.append(text)
    return texts[0], texts[1], texts[2]


def shape(rule: Rule, record: object) -> Iterator[Hit]:
    if not isinstance(record, dict):
        yield Hit("it is not a JSON object")
        return
    listed = record.get("messages")
    if not isinstance(listed, list):
        if "messages" in record:
            yield Hit("'messages' is not a list", ".messages")
        elif "conversations" in record:
            yield Hit("there is no 'messages', only the ShareGPT form's 'conversations'")
        else:
            yield Hit("there is no 'messages'")
        return
    for place, message in enumerate(listed):
        if not isinstance(message, dict):
            yield Hit("the message is not an object", f".messages[{place}]")
            continue
        for key in ("role", "content"):
            if key not in message:
                yield Hit(f"the message has no {key!r}", f".messages[{place}]")
            elif not isinstance(message[key], str):
                yield Hit(f"{key!r} is not a text", f".messages[{place}].{key}")


def roles(rule: Rule, record: object) -> Iterator[Hit]:
    if not isinstance(record, dict) or not isinstance(record.get("messages"), list):
        return
    found = [message.get("role") for _, message in messages(record)]
    if found != list(ROLES):
        shown = ", ".join(str(role)[:20] for role in found[:6]) or "none"
        more = ", …" if len(found) > 6 else ""
        yield Hit(f"they are: {shown}{more}", ".messages")


def empty(rule: Rule, record: object) -> Iterator[Hit]:
    for place, message in messages(record):
        text = message.get("content")
        if isinstance(text, str) and not text.strip():
            yield Hit("", f".messages[{place}].content")


def metadata(rule: Rule, record: object) -> Iterator[Hit]:
    if not isinstance(record, dict) or record.get("metadata") is None:
        return
    given = record["metadata"]
    if not isinstance(given, dict):
        yield Hit("it is not an object", ".metadata")
        return
    if not isinstance(given.get("id", ""), str):
        yield Hit("'id' is not a text", ".metadata.id")
    levels = given.get("levels")
    if levels is None:
        return
    if not isinstance(levels, dict):
        yield Hit("'levels' is not an object", ".metadata.levels")
        return
    written = parse(records.content(record, "assistant")).levels
    for key, level in levels.items():
        path = f".metadata.levels.{key}"
        if key not in _TRAITS:
            yield Hit(f"there is no trait {key!r}; they are {', '.join(_TRAITS)}", path)
        elif level not in persona.LEVELS:
            yield Hit(f"{level!r} is not on the scale", path)
        elif written.get(key, level) != level:
            yield Hit(f"it says {level}, the report says {written[key]}", path)


def answers(rule: Rule, record: object) -> Iterator[Hit]:
    """The user's turn holds five answers in the guide's form, none of them empty."""
    turns = [(place, m) for place, m in messages(record) if m.get("role") == "user"]
    if len(turns) != 1 or not isinstance(record, dict):
        return
    place, turn = turns[0]
    text = turn.get("content")
    if not isinstance(text, str) or not text.strip():
        return
    path = f".messages[{place}].content"
    given = records.answers(record)
    if given is None:
        yield Hit(_first_missing(text), path)
        return
    for number, trait in enumerate(persona.TRAITS, start=1):
        if not any(map(str.isalnum, given[trait.key])):
            start = text.index(trait.korean)
            end = text.find("\n", start)
            detail = f"answer {number} ({trait.korean}) is empty"
            yield Hit(detail, path, start, end if end >= 0 else len(text))


def _first_missing(text: str) -> str:
    for number, trait in enumerate(persona.TRAITS, start=1):
        if f"{number}. {trait.korean}: '" not in text:
            return f"there is no line \"{number}. {trait.korean}: '…'\""
    return "there is text beside the five lines"


OF_THE_SHAPE: tuple[Callable[[Rule, object], Iterator[Hit]], ...] = (shape, roles, empty)
"""Checks that find nothing in a record in form."""

CHECKS: dict[str, Callable[[Rule, object], Iterator[Hit]]] = {
    "shape": shape,
    "roles": roles,
    "empty": empty,
    "metadata": metadata,
    "answers": answers,
}
