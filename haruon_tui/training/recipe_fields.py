"""The fields of a recipe as a form shows them: meaning, what is allowed, effect on memory."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from haruon_tui import profiles
from haruon_tui.errors import ConfigurationError
from haruon_tui.hardware.architecture import Architecture
from haruon_tui.hardware.memory_estimate import DeviceKind, estimate
from haruon_tui.settings import TrainSettings, build
from haruon_tui.training import ranks
from haruon_tui.training.engines import WITHOUT

TEXT = "any text, or none"
SHARED = frozenset(
    {"batch_size", "accumulation", "processes", "machines", "main_address", "main_port"}
    | {"strategy", "global_batch"}
)
"""The fields that say how several processes share an optimizer step."""

_SIGNS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}


@dataclass(frozen=True)
class RecipeField:
    """`choices` is empty where any value of the range may be typed."""

    name: str
    meaning: str
    allowed: str
    choices: tuple[Any, ...]


def fields(engine: str = "built-in") -> list[RecipeField]:
    """Every field of [train] that the engine has a use for, in the order of haruon.toml."""
    return [
        _field(name, info)
        for name, info in TrainSettings.model_fields.items()
        if name not in WITHOUT[engine]
    ]


def _field(name: str, info: FieldInfo) -> RecipeField:
    choices = _choices(info.annotation)
    if choices and list not in _origins(info.annotation):
        allowed = " or ".join(_shown(choice) for choice in choices)
        return RecipeField(name, info.description or "", allowed, choices)
    if name == "targets":
        return RecipeField(
            name,
            info.description or "",
            "all-linear, or names such as q_proj, v_proj",
            (),
        )
    limits = [
        f"{_SIGNS[sign]} {getattr(one, sign):g}"
        for one in info.metadata
        for sign in _SIGNS
        if getattr(one, sign, None) is not None
    ]
    if info.annotation is str:
        return RecipeField(name, info.description or "", TEXT, ())
    kind = "whole number" if info.annotation is int else "number"
    return RecipeField(name, info.description or "", ", ".join([kind, *limits]), ())


def _choices(annotation: Any) -> tuple[Any, ...]:
    if annotation is bool:
        return (True, False)
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    return ()


def _origins(annotation: Any) -> tuple[Any, ...]:
    return (get_origin(annotation), *(get_origin(one) for one in get_args(annotation)))


def _shown(value: Any) -> str:
    return json.dumps(value) if isinstance(value, bool) else str(value)


def shown(value: Any) -> str:
    """A value as the form writes it, and as `parse` reads it."""
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else _shown(value)


def parse(field: RecipeField, text: str) -> Any:
    """The value that was typed. Raises ConfigurationError when it is not of the field's kind;
    whether it is in the range, `with_changes` says."""
    text = text.strip()
    if field.name == "targets":
        names = [name.strip() for name in text.split(",") if name.strip()]
        return "all-linear" if names == ["all-linear"] else names
    if field.allowed == TEXT:
        return text
    for choice in field.choices:
        if text == shown(choice):
            return choice
    try:
        return int(text) if field.allowed.startswith("whole") else float(text)
    except ValueError as error:
        raise ConfigurationError(
            f"{text!r} is not allowed here", where=f"train.{field.name}", expected=field.allowed
        ) from error


def with_changes(profile: str, written: dict[str, Any], changes: dict[str, Any]) -> TrainSettings:
    """The settings of [train] with `written` keys of haruon.toml and `changes` laid over them.

    Another recipe brings its own values for what neither says. Raises ConfigurationError, also
    where several processes cannot share a step.
    """
    try:
        train = build({"profile": profile, "train": {**written, **changes}}).train
        ranks.ranks(train)
        return train
    except ValidationError as error:  # of a kind that build does not explain
        raise ConfigurationError(str(error), where="train") from error


def recipe_value(profile: str, recipe: str, name: str) -> Any:
    """What a recipe itself says of a field; None where it leaves it to the default."""
    value = profiles.values(profile, recipe)["train"].get(name)
    return TrainSettings.model_fields[name].default if value is None else value


def memory_effect(
    field: RecipeField, train: TrainSettings, architecture: Architecture, device: DeviceKind
) -> list[tuple[str, int]]:
    """The estimate in bytes at other values of a field: every choice, or half and double a
    number. Empty where the field takes no memory."""
    now = getattr(train, field.name)
    if field.name == "recipe":
        return []
    values: list[Any] = list(field.choices)
    if isinstance(now, int | float) and not isinstance(now, bool):
        whole = isinstance(now, int)
        values = [now // 2 if whole else now / 2, now, now * 2]
    elif field.name == "targets":
        values = [["q_proj", "v_proj"], ["q_proj", "k_proj", "v_proj", "o_proj"], "all-linear"]
    found = []
    for value in values:
        try:
            changed = TrainSettings.model_validate({**train.model_dump(), field.name: value})
        except ValidationError:
            continue  # half or double of it is out of range
        found.append((shown(value), estimate(architecture, changed, device=device).total))
    return found if len({size for _, size in found}) > 1 else []
