"""Changing one key of haruon.toml, with its comments and its order left as they are."""

from __future__ import annotations

from pathlib import Path

from haruon_tui import artifacts
from haruon_tui.errors import ConfigurationError
from haruon_tui.settings import Settings, build, load_settings


def changed(file: Path, values: dict[str, str], section: str) -> str:
    """The text that haruon.toml would have with these keys of `section` set.

    Nothing is written. Raises ConfigurationError when the file is wrong, or would be.
    """
    import tomlkit

    load_settings(file)  # says what is wrong with it, line and key
    document = tomlkit.parse(file.read_text("utf-8"))
    if section not in document:
        document.add(section, tomlkit.table())
    for key, value in values.items():
        document[section][key] = value
    text = tomlkit.dumps(document)
    build(document.unwrap())
    return text


def set_base(file: Path, base: str) -> Settings:
    """Make `base` the workspace's base model, at its main revision; returns the new settings.

    A revision that was set belongs to the base before. Raises ConfigurationError.
    """
    revision = load_settings(file).model.revision
    values = {"base": base} | ({"revision": "main"} if revision != "main" else {})
    text = changed(file, values, "model")
    try:
        artifacts.write_text(file, text)
    except OSError as error:
        raise ConfigurationError(
            f"cannot be written: {error.strerror or error}",
            where=str(file),
            expected="a file and a folder with write permission",
            do=f"ls -l {file}; or set base = {base!r} below [model] by hand",
        ) from error
    return load_settings(file)
