"""A model in a folder, laid out as Hugging Face does: checked, and taken over without copying."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from haruon_tui.errors import StageError

INDEX = "model.safetensors.index.json"
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
)
TAKEN = (".json", ".jinja", ".txt", ".safetensors", ".model", "README.md")
"""How the names of the files end that make up a model; the README names its licence."""


def require_model(folder: Path) -> dict[str, Any]:
    """The model's config.json, once everything that later stages read is there.

    Raises StageError that names the missing or broken file.
    """
    if not folder.is_dir():
        raise StageError(
            "is no folder",
            where=str(folder),
            expected="a folder with config.json, tokenizer.json and *.safetensors",
            do="set model.base to the folder that holds the model",
        )
    config = read_object(folder / "config.json", "every Hugging Face model has one")
    if "model_type" not in config:
        raise StageError(
            "names no model_type",
            where=str(folder / "config.json"),
            expected='a line such as "model_type": "qwen2"',
            do="is this the config of an adapter? model.base wants the whole model",
        )
    read_object(
        folder / "tokenizer.json",
        "load the tokenizer with transformers' AutoTokenizer and save_pretrained() it there",
    )
    for name in weight_files(folder):
        if not (folder / name).is_file():
            raise StageError(
                "is missing",
                where=str(folder / name),
                expected="every file that the weights are spread over",
                do="download or copy the model again",
            )
    return config


def refuse_remote_code(config_file: Path, base: str, *, allowed: bool) -> None:
    """Raise StageError when a model's config.json names Python code of its own (auto_map) and
    nobody has allowed it."""
    config = read_object(config_file, "download or copy the model again")
    if "auto_map" in config and not allowed:
        raise StageError(
            f"{base} wants to run Python code of its own (auto_map in config.json)",
            where=f"model.base = {base!r}",
            expected="a model that transformers itself can load",
            do="read that code; if you trust it, name the model in haruon.toml: [model] "
            f'trust_remote_code = "{base}"',
        )


def adopt(source: Path, target: Path, *, remote_code: bool = False) -> None:
    """Make `target` a folder with the files of the model in `source`, and with `remote_code` its
    Python files.

    Files are hard links where both are on one file system, so that weights are not stored
    twice, and copies elsewhere.
    """
    suffixes = (*TAKEN, ".py") if remote_code else TAKEN
    target.mkdir()
    for file in sorted(source.iterdir()):
        if not file.is_file() or file.name.startswith(".") or not file.name.endswith(suffixes):
            continue
        try:
            (target / file.name).hardlink_to(file.resolve())
        except OSError:
            shutil.copy2(file, target / file.name)


def copy_tokenizer(source: Path, target: Path) -> None:
    """Copy the tokenizer and its chat template byte for byte."""
    for name in TOKENIZER_FILES:
        (target / name).unlink(missing_ok=True)
        if (source / name).is_file():
            shutil.copy2(source / name, target / name)


def weight_files(folder: Path) -> list[str]:
    """The names of the files that the weights are spread over. Raises StageError without any."""
    if (folder / INDEX).is_file():
        index = read_object(folder / INDEX, "download the model again")
        named = index.get("weight_map")
        if not isinstance(named, dict) or not all(isinstance(n, str) for n in named.values()):
            raise StageError(
                "has no weight_map",
                where=str(folder / INDEX),
                expected="the file of each tensor",
                do="download or copy the model again",
            )
        return sorted(set(named.values()))
    found = sorted(file.name for file in folder.glob("*.safetensors"))
    if not found:
        other = sorted(
            file.name for pattern in ("*.bin", "*.pt", "*.gguf") for file in folder.glob(pattern)
        )
        raise StageError(
            f"has no *.safetensors weights{', only ' + other[0] if other else ''}",
            where=str(folder),
            expected="weights in safetensors files",
            do="load the model with transformers and save_pretrained() it, or take a repository "
            "that has them",
        )
    return found


def read_object(file: Path, do: str) -> dict[str, Any]:
    """The JSON object in a file. Raises StageError that says `do`."""
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise StageError("is missing", where=str(file), expected="this file", do=do) from error
    except (OSError, ValueError) as error:
        raise StageError(
            f"cannot be read: {error}", where=str(file), expected="a JSON object", do=do
        ) from error
    if not isinstance(value, dict):
        raise StageError("holds no JSON object", where=str(file), expected="{...}", do=do)
    return value
