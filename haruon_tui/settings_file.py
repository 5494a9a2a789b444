"""Changing keys of haruon.toml, with its comments and its order left as they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from haruon_tui import artifacts
from haruon_tui.errors import ConfigurationError
from haruon_tui.settings import Settings, build, load_settings


def changed(file: Path, values: dict[str, Any]) -> str:
    """The text that haruon.toml would have with these keys set, such as {"train.rank": 8}.

    Nothing is written. Raises ConfigurationError when the file is wrong, or would be.
    """
    import tomlkit

    load_settings(file)  # says what is wrong with it, line and key
    document = tomlkit.parse(file.read_text("utf-8"))
    for name, value in values.items():
        section, _, key = name.partition(".")
        if section not in document:
            document.add(section, tomlkit.table())
        document[section][key] = value
    text = tomlkit.dumps(document)
    build(document.unwrap())
    return text


def set_base(file: Path, base: str) -> Settings:
    """Make `base` the workspace's base model, at its main revision; returns the new settings.

    A revision that was set belongs to the base before. Raises ConfigurationError.
    """
    revision = load_settings(file).model.revision
    forgotten = {"model.revision": "main"} if revision != "main" else {}
    return set_keys(file, {"model.base": base, **forgotten})


def set_keys(file: Path, values: dict[str, Any]) -> Settings:
    """Write these keys, such as {"train.rank": 8}, all or none; returns the new settings.

    Raises ConfigurationError when a value is not allowed, or the file is wrong or not writable.
    """
    text = changed(file, values)
    try:
        artifacts.write_text(file, text)
    except OSError as error:
        raise ConfigurationError(
            f"cannot be written: {error.strerror or error}",
            where=str(file),
            expected="a file and a folder with write permission",
            do=f"ls -l {file}; or set by hand: {_in_words(values)}",
        ) from error
    return load_settings(file)


def _in_words(values: dict[str, Any]) -> str:
    return ", ".join(f"{name} = {value!r}" for name, value in values.items())
