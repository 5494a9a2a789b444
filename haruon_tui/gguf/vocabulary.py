"""The tokenizer of a model folder, as llama.cpp wants it told."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from haruon_tui.errors import StageError
from haruon_tui.gguf.model_config import read_json

TURN_END = "<|im_end|>"
DOCUMENT_END = "<|endoftext|>"

PRE_TOKENIZERS = {
    (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|"
        r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    ): "qwen2",
}
"""llama.cpp's name for each split regex that we know it to follow exactly."""

NORMAL, CONTROL, USER_DEFINED, UNUSED = 1, 3, 4, 5
"""Token types as GGUF numbers them."""


@dataclass(frozen=True)
class Vocabulary:
    """What goes into tokenizer.ggml.* of a GGUF file. Lists are by token id."""

    tokens: list[str]
    types: list[int]
    merges: list[str]
    pre_tokenizer: str
    eos: int
    bos: int
    pad: int
    chat_template: str
    notes: list[str]
    """What a reader of the model's own files may not expect."""


def read_vocabulary(folder: Path, size: int) -> Vocabulary:
    """Read the tokenizer and pad it to `size` tokens, the rows of the embedding.

    `<|im_end|>` becomes the end of a generation, whatever generation_config.json says, because
    it is what the chat template ends a turn with: a GGUF that waits for another token never stops.
    Raises StageError for any tokenizer that llama.cpp would not follow token by token.
    """
    path = folder / "tokenizer.json"
    tokenizer = read_json(path)
    pre_tokenizer = _pre_tokenizer(tokenizer, path)
    ids = _token_ids(tokenizer, path)
    tokens, types = _padded(ids, tokenizer, size, path)
    if TURN_END not in ids:
        raise StageError(
            f"has no token {TURN_END}, so an answer could never end",
            where=str(path),
            expected=f"the tokens of Qwen2: {DOCUMENT_END}, <|im_start|>, {TURN_END}",
        )
    eos = ids[TURN_END]
    bos = ids.get(DOCUMENT_END, eos)
    return Vocabulary(
        tokens=tokens,
        types=types,
        merges=_merges(tokenizer["model"], path),
        pre_tokenizer=pre_tokenizer,
        eos=eos,
        bos=bos,
        pad=bos,
        chat_template=read_chat_template(folder),
        notes=_notes(folder, eos),
    )


def read_chat_template(folder: Path) -> str:
    """The chat template that transformers uses: chat_template.jinja before tokenizer_config.json.

    Raises StageError where there is none, and for one that cannot go into a GGUF.
    """
    file = folder / "chat_template.jinja"
    template: Any
    if file.exists():
        template = file.read_text(encoding="utf-8")
    else:
        file = folder / "tokenizer_config.json"
        template = read_json(file).get("chat_template")
    if isinstance(template, list):
        template = {entry["name"]: entry["template"] for entry in template}.get("default")
    if not isinstance(template, str) or not template:
        raise StageError(
            "there is no chat template",
            where=str(folder),
            expected="chat_template.jinja, or chat_template in tokenizer_config.json",
            do="copy it from the base model; without it llama.cpp guesses another format",
        )
    if re.search(r"\{%-?\s*generation\b", template):
        raise StageError(
            "the chat template holds {% generation %}, which only training understands",
            where=str(file),
            do="restore the base model's chat template before the conversion",
        )
    if TURN_END not in template:
        raise StageError(
            f"the chat template never ends a turn with {TURN_END}",
            where=str(file),
            expected="a ChatML template such as Qwen2's",
        )
    return template


def _pre_tokenizer(tokenizer: dict[str, Any], path: Path) -> str:
    """llama.cpp's name for how the text is split, or StageError."""
    normalizer = tokenizer.get("normalizer")
    if normalizer not in (None, {"type": "NFC"}):
        raise _unlike_qwen2("the normalizer", normalizer, "NFC or none", path)
    steps = tokenizer.get("pre_tokenizer") or {}
    steps = steps.get("pretokenizers", [steps])
    kinds = [step.get("type") for step in steps]
    if kinds != ["Split", "ByteLevel"]:
        raise _unlike_qwen2("the pre-tokenizer", kinds, "Split, then ByteLevel", path)
    split, byte_level = steps
    if split.get("behavior") != "Isolated" or split.get("invert"):
        raise _unlike_qwen2("the split", split, "behavior Isolated, not inverted", path)
    if byte_level.get("use_regex", True) or byte_level.get("add_prefix_space"):
        raise _unlike_qwen2(
            "the ByteLevel step", byte_level, "no regex and no prefix space of its own", path
        )
    regex = split.get("pattern", {}).get("Regex")
    if regex not in PRE_TOKENIZERS:
        raise _unlike_qwen2(
            "the split regex", regex, f"that of {', '.join(PRE_TOKENIZERS.values())}", path
        )
    for processor in _processors(tokenizer):
        added = [part for part in processor.get("single", []) if "SpecialToken" in part]
        if processor.get("type") not in ("ByteLevel", "TemplateProcessing") or added:
            raise _unlike_qwen2("the post-processor", processor, "one that adds no token", path)
    return PRE_TOKENIZERS[regex]


def _processors(tokenizer: dict[str, Any]) -> list[dict[str, Any]]:
    processor = tokenizer.get("post_processor") or {}
    listed: list[dict[str, Any]] = processor.get("processors", [processor] if processor else [])
    return listed


def _token_ids(tokenizer: dict[str, Any], path: Path) -> dict[str, int]:
    model = tokenizer.get("model", {})
    if model.get("type") != "BPE":
        raise _unlike_qwen2("the model", model.get("type"), "BPE", path)
    for option in ("byte_fallback", "ignore_merges", "dropout"):
        if model.get(option):
            raise _unlike_qwen2(f"the BPE option {option}", model[option], "off", path)
    for option in ("continuing_subword_prefix", "end_of_word_suffix"):
        if model.get(option):
            raise _unlike_qwen2(f"the BPE option {option}", model[option], "empty", path)
    added = tokenizer.get("added_tokens", [])
    for token in added:
        for option in ("lstrip", "rstrip", "single_word"):
            if token.get(option):
                raise _unlike_qwen2(
                    f"the added token {token['content']!r}", f"{option}=true", "false", path
                )
    return {**model["vocab"], **{token["content"]: token["id"] for token in added}}


def _padded(
    ids: dict[str, int], tokenizer: dict[str, Any], size: int, path: Path
) -> tuple[list[str], list[int]]:
    """Tokens and their types by id; ids without a token are named [PADi] and never used."""
    largest = max(ids.values(), default=-1)
    if largest >= size:
        raise StageError(
            f"has a token with id {largest}, but config.json's vocab_size is {size}",
            where=str(path),
            expected="an embedding row for every token",
            do="resize the embeddings (resize_token_embeddings) and save model and tokenizer",
        )
    tokens = [f"[PAD{number}]" for number in range(size)]
    types = [UNUSED] * size
    for text, number in ids.items():
        tokens[number] = text
        types[number] = NORMAL
    for token in tokenizer.get("added_tokens", []):
        types[token["id"]] = CONTROL if token.get("special") else USER_DEFINED
    return tokens, types


def _merges(model: dict[str, Any], path: Path) -> list[str]:
    merges = [
        merge if isinstance(merge, str) else " ".join(merge) for merge in model.get("merges", [])
    ]
    for merge in merges:
        if merge.count(" ") != 1:  # byte-level tokens write a space as Ġ
            raise _unlike_qwen2("the merge", merge, "two tokens without spaces", path)
    return merges


def _notes(folder: Path, eos: int) -> list[str]:
    path = folder / "generation_config.json"
    stated = read_json(path).get("eos_token_id") if path.exists() else None
    listed = stated if isinstance(stated, list) else [stated]
    if stated is None or eos in listed:
        return []
    return [
        f"generation_config.json ends a generation with token {stated}; the GGUF ends it with "
        f"{TURN_END} ({eos}), as the chat template does"
    ]


def _unlike_qwen2(what: str, found: Any, expected: str, path: Path) -> StageError:
    return StageError(
        f"{what} is {found!r}, which llama.cpp is not known to follow",
        where=str(path),
        expected=expected,
        do="use the tokenizer of a Qwen2 model",
    )
