"""The model that `haruon chat` or `haruon serve` names, and how it is asked."""

from __future__ import annotations

import argparse
from dataclasses import fields
from pathlib import Path

from pydantic import ValidationError

from haruon_tui import planning
from haruon_tui.chat.models import Model, check_gguf, parse
from haruon_tui.chat.protocol import Sampling
from haruon_tui.errors import ConfigurationError
from haruon_tui.jobs.store import Store
from haruon_tui.settings import ChatSettings, default_settings
from haruon_tui.workspace import Workspace

_PREFERRED = "Q4_K_M"
_SAMPLING = {name.name for name in fields(Sampling)}
_OPTIONS = _SAMPLING | {"context", "threads", "gpu_layers"}
_OUTSIDE = "qwen2-1.5b"
"""The profile whose settings hold for a file outside any workspace."""


def named_model(arguments: argparse.Namespace) -> Model:
    """The endpoint or file named, or the workspace's own file of the type named.

    Raises ConfigurationError.
    """
    named = arguments.model
    if named and (named.startswith(("http://", "https://")) or Path(named).exists()):
        return parse(named)
    if named and (named.endswith(".gguf") or "/" in named):
        raise ConfigurationError(
            "there is no such file", where=named, expected="a GGUF file, a type, or an address"
        )
    return _of_workspace(Workspace.find(arguments.workspace), named)


def named_file(arguments: argparse.Namespace) -> Path:
    """The same, where it must be a file."""
    model = named_model(arguments)
    if not isinstance(model, Path):
        raise ConfigurationError(
            "it is served already", where=arguments.model, expected="a GGUF file or a type"
        )
    return model


def chat_settings(arguments: argparse.Namespace) -> ChatSettings:
    """haruon.toml's section chat, with what the command line says instead."""
    try:
        settings = Workspace.find(arguments.workspace).settings.chat
    except ConfigurationError:
        if arguments.workspace or not arguments.model:
            raise
        settings = default_settings(_OUTSIDE).chat
    given = {
        name: value for name in _OPTIONS if (value := getattr(arguments, name, None)) is not None
    }
    try:
        return ChatSettings.model_validate(settings.model_dump() | given)
    except ValidationError as error:
        wrong = error.errors()[0]
        raise ConfigurationError(
            str(wrong["msg"]), where=f"--{str(wrong['loc'][0]).replace('_', '-')}"
        ) from None


def _of_workspace(workspace: Workspace, wanted: str | None) -> Path:
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
    for path in made:
        if path.suffixes[-2].removeprefix(".") == (wanted or _PREFERRED):
            check_gguf(path)
            return path
    if wanted:
        types = ", ".join(path.suffixes[-2].removeprefix(".") for path in made)
        raise ConfigurationError(f"there is no {wanted} here", expected=types)
    return made[0]
