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
_TAKEN = (".json", ".jinja", ".txt", ".safetensors", ".model")


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
    config = _json(folder / "config.json", "every Hugging Face model has one")
    if "model_type" not in config:
        raise StageError(
            "names no model_type",
            where=str(folder / "config.json"),
            expected='a line such as "model_type": "qwen2"',
            do="is this the config of an adapter? model.base wants the whole model",
        )
    _json(
        folder / "tokenizer.json",
        "load the tokenizer with transformers' AutoTokenizer and save_pretrained() it there",
    )
    for name in _weights(folder):
        if not (folder / name).is_file():
            raise StageError(
                "is missing",
                where=str(folder / name),
                expected="every file that the weights are spread over",
                do="download or copy the model again",
            )
    return config


def adopt(source: Path, target: Path) -> None:
    """Make `target` a folder with the files of the model in `source`.

    Files are hard links where both are on one file system, so that weights are not stored
    twice, and copies elsewhere.
    """
    target.mkdir()
    for file in sorted(source.iterdir()):
        if not file.is_file() or file.name.startswith(".") or file.suffix not in _TAKEN:
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


def _weights(folder: Path) -> list[str]:
    if (folder / INDEX).is_file():
        index = _json(folder / INDEX, "download the model again")
        return sorted(set(index.get("weight_map", {}).values()))
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


def _json(file: Path, do: str) -> dict[str, Any]:
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
