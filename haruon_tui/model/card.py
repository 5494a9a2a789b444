"""The card of a model in a folder: what its files say, read without torch and without weights."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from haruon_tui.errors import StageError
from haruon_tui.model.folder import read_object, require_model, weight_files

TEMPLATE_MARKS = (
    ("<|im_start|>", "ChatML"),
    ("<|start_header_id|>", "Llama 3"),
    ("<start_of_turn>", "Gemma"),
    ("[INST]", "Llama 2 or Mistral"),
    ("<|user|>", "Phi or Zephyr"),
)
SHOWN_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
_MAX_README_BYTES = 1 << 16


class SpecialToken(BaseModel):
    """A token with a role: "eos", "pad", "bos", "unk", "stop", or none ("")."""

    model_config = ConfigDict(frozen=True)

    role: str
    text: str
    id: int | None


class Card(BaseModel):
    """What is known of a model. Numbers are None where its config does not tell them.

    `parameters` counts what the weight files hold; a tied output layer is counted once. `dtypes`
    is parameters by type; `bytes` are those of the weight files.
    """

    model_config = ConfigDict(extra="forbid")

    architecture: str
    model_type: str
    parameters: int
    dtypes: dict[str, int]
    bytes: int
    layers: int | None
    hidden: int | None
    heads: int | None
    key_value_heads: int | None
    context: int | None
    tied_embeddings: bool
    vocabulary: int | None
    tokens: int
    template: str
    special_tokens: list[SpecialToken]
    stop_tokens: list[SpecialToken]
    license: str | None


def card(folder: Path) -> Card:
    """Read a model's card. Raises StageError for a folder that holds no whole model."""
    config = require_model(folder)
    try:
        return _card(folder, config)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise StageError(
            f"its files do not read as a model's: {type(error).__name__}: {error}",
            where=f"{folder}: config.json, tokenizer.json, tokenizer_config.json, "
            "generation_config.json",
            expected="the files that transformers' save_pretrained() writes",
            do="download or copy the model again",
        ) from error


def template_kind(template: str | None) -> str:
    """The family of a chat template by the tokens it writes; "none" without one."""
    if not template:
        return "none"
    return next((kind for mark, kind in TEMPLATE_MARKS if mark in template), "its own kind")


def _card(folder: Path, config: dict[str, Any]) -> Card:
    counts, size = _weights(folder, tied=bool(config.get("tie_word_embeddings")))
    ids = token_ids(folder)
    names = {number: text for text, number in ids.items()}
    settings = _optional(folder / "tokenizer_config.json")
    return Card(
        architecture=", ".join(map(str, config.get("architectures") or ())) or "not named",
        model_type=str(config["model_type"]),
        parameters=sum(counts.values()),
        dtypes=counts,
        bytes=size,
        layers=_whole(config, "num_hidden_layers"),
        hidden=_whole(config, "hidden_size"),
        heads=_whole(config, "num_attention_heads"),
        key_value_heads=_whole(config, "num_key_value_heads"),
        context=_whole(config, "max_position_embeddings"),
        tied_embeddings=bool(config.get("tie_word_embeddings")),
        vocabulary=_whole(config, "vocab_size"),
        tokens=len(ids),
        template=template_kind(chat_template(folder, settings)),
        special_tokens=list(_special(settings, ids)),
        stop_tokens=[
            SpecialToken(role="stop", text=names.get(number, "?"), id=number)
            for number in _stops(folder, config)
        ],
        license=_license(folder / "README.md"),
    )


def chat_template(folder: Path, settings: dict[str, Any]) -> str | None:
    """The chat template: of its own file, else of tokenizer_config.json."""
    try:
        return (folder / "chat_template.jinja").read_text("utf-8", errors="replace")
    except OSError:
        held = settings.get("chat_template")
    if isinstance(held, list):  # several by name; transformers takes the one called "default"
        named = {entry.get("name"): entry.get("template") for entry in held}
        held = named.get("default")
    return held if isinstance(held, str) else None


def token_ids(folder: Path) -> dict[str, int]:
    """Every token of tokenizer.json with its id, the added ones included."""
    loaded = read_object(folder / "tokenizer.json", "download the model again")
    vocabulary = loaded.get("model", {}).get("vocab") or {}
    if isinstance(vocabulary, list):  # Unigram: pairs of token and score, the place is the id
        vocabulary = {entry[0]: place for place, entry in enumerate(vocabulary)}
    added = {entry["content"]: entry["id"] for entry in loaded.get("added_tokens") or ()}
    return {**vocabulary, **added}


def read_header(file: Path) -> dict[str, tuple[str, int]]:
    """Type and number of parameters of every tensor in a safetensors file.

    The format: 8 bytes, little endian, the length of a JSON object; the object; the data
    (https://huggingface.co/docs/safetensors#format). Raises StageError for another file and for
    one that is cut short.
    """
    size = file.stat().st_size
    try:
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            if not 2 <= length <= size - 8:
                raise ValueError("its header is longer than the file")
            header = json.loads(stream.read(length))
        header.pop("__metadata__", None)
        end = max((entry["data_offsets"][1] for entry in header.values()), default=0)
        found = {name: (str(e["dtype"]), _product(e["shape"])) for name, e in header.items()}
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise _broken(file, f"is no safetensors file: {error}") from error
    if 8 + length + end != size:
        raise _broken(file, f"has {size:,} bytes where its header wants {8 + length + end:,}")
    return found


def _broken(file: Path, what: str) -> StageError:
    return StageError(
        what,
        where=str(file),
        expected="a whole safetensors file",
        do="download or copy the model again",
    )


def _weights(folder: Path, *, tied: bool) -> tuple[dict[str, int], int]:
    counts: dict[str, int] = {}
    size = 0
    for name in weight_files(folder):
        size += (folder / name).stat().st_size
        for tensor, (dtype, count) in read_header(folder / name).items():
            if not (tied and tensor == "lm_head.weight"):
                counts[dtype] = counts.get(dtype, 0) + count
    return counts, size


def _product(shape: list[int]) -> int:
    product = 1
    for extent in shape:
        product *= extent
    return product


def _special(settings: dict[str, Any], ids: dict[str, int]) -> Iterator[SpecialToken]:
    named = set()
    for role in ("eos", "pad", "bos", "unk"):
        text = settings.get(f"{role}_token")
        text = text.get("content") if isinstance(text, dict) else text
        if isinstance(text, str):
            named.add(text)
            yield SpecialToken(role=role, text=text, id=ids.get(text))
    for text in SHOWN_TOKENS:
        if text in ids and text not in named:
            yield SpecialToken(role="", text=text, id=ids[text])


def _stops(folder: Path, config: dict[str, Any]) -> list[int]:
    """The ids at which generation ends: of generation_config.json, else of config.json."""
    generation = _optional(folder / "generation_config.json")
    held = generation.get("eos_token_id", config.get("eos_token_id"))
    held = held if isinstance(held, list) else [held]
    return [number for number in held if isinstance(number, int)]


def _license(readme: Path) -> str | None:
    """`license:` in the YAML between the two lines of dashes that a README may begin with."""
    try:
        with readme.open(encoding="utf-8", errors="replace") as stream:
            text = stream.read(_MAX_README_BYTES)
    except OSError:
        return None
    front = re.match(r"---\s*\n(.*?)\n---", text, re.DOTALL)
    found = (
        re.search(r"^license:[ \t]*[\"']?([^\s\"'#]+)", front.group(1), re.M) if front else None
    )
    return found.group(1) if found else None


def _whole(config: dict[str, Any], key: str) -> int | None:
    value = config.get(key)
    return value if isinstance(value, int) else None


def _optional(file: Path) -> dict[str, Any]:
    return read_object(file, "download or copy the model again") if file.is_file() else {}
