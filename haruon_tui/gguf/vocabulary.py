"""The tokenizer of a model folder, as llama.cpp wants it told."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from haruon_tui.errors import StageError
from haruon_tui.gguf.model_config import Config, read_json

TURN_ENDS = ("<|im_end|>", "<|eot_id|>")
"""The tokens that end a turn, in ChatML (Qwen) and in Llama 3's format."""
DOCUMENT_ENDS = ("<|endoftext|>", "<|end_of_text|>")


@dataclass(frozen=True)
class PreTokenizer:
    """How text is split before the merges, by llama.cpp's name for it."""

    name: str
    ignore_merges: bool
    """Whether a piece that is a token is taken whole, without merging: llama.cpp decides it by
    the name."""


def _split_regex(digits: str) -> str:
    return (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
        + digits
        + r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    )


PRE_TOKENIZERS = {
    _split_regex(r"\p{N}"): PreTokenizer("qwen2", ignore_merges=False),
    _split_regex(r"\p{N}{1,3}"): PreTokenizer("llama-bpe", ignore_merges=True),
}
"""By the split regex of tokenizer.json: those that llama.cpp is known to follow exactly."""

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
    adds_bos: bool
    """Whether a text begins with the token bos."""
    chat_template: str
    notes: list[str]
    """What a reader of the model's own files may not expect."""


def read_vocabulary(folder: Path, config: Config) -> Vocabulary:
    """Read the tokenizer and pad it to the rows of the embedding.

    The token that the chat template ends a turn with becomes the end of a generation, whatever
    generation_config.json says: a GGUF that waits for another token never stops. Raises
    StageError for any tokenizer that llama.cpp would not follow token by token.
    """
    path = folder / "tokenizer.json"
    tokenizer = _read_tokenizer(path)
    pre_tokenizer = read_pre_tokenizer(tokenizer, path)
    ids = _token_ids(tokenizer, path)
    tokens, types = _padded(ids, tokenizer, config.vocabulary, path)
    template = read_chat_template(folder)
    turn_end = read_turn_end(template, ids, path)
    eos = ids[turn_end]
    document_end = next((ids[text] for text in DOCUMENT_ENDS if text in ids), eos)
    added_bos = _added_bos(tokenizer, path)
    stated_bos = _stated(folder, "bos", ids)
    bos = config.bos if stated_bos is None else stated_bos
    if added_bos is not None:
        bos = added_bos
    pad = _stated(folder, "pad", ids)
    return Vocabulary(
        tokens=tokens,
        types=types,
        merges=[" ".join(merge) for merge in tokenizer["model"]["merges"]],
        pre_tokenizer=pre_tokenizer.name,
        eos=eos,
        bos=bos if bos is not None and 0 <= bos < len(tokens) else document_end,
        pad=document_end if pad is None else pad,
        adds_bos=added_bos is not None,
        chat_template=template,
        notes=_notes(folder, turn_end, eos, types, max(ids.values())),
    )


def read_chat_template(folder: Path) -> str:
    """The chat template that transformers uses: chat_template.jinja before tokenizer_config.json.

    Raises StageError where there is none, and for one that cannot go into a GGUF.
    """
    file = folder / "chat_template.jinja"
    template: Any
    if file.exists():
        try:
            template = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise StageError(f"cannot be read: {error}", where=str(file)) from error
    else:
        file = folder / "tokenizer_config.json"
        template = read_json(file).get("chat_template")
    if isinstance(template, list):
        named = [entry for entry in template if isinstance(entry, dict)]
        template = {e.get("name"): e.get("template") for e in named}.get("default")
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
    if not any(text in template for text in TURN_ENDS):
        raise StageError(
            f"the chat template never ends a turn with {' or '.join(TURN_ENDS)}",
            where=str(file),
            expected="a template such as Qwen2's or Llama 3's",
        )
    return template


def read_turn_end(template: str, ids: dict[str, int], path: Path) -> str:
    """The token with which the chat template ends a turn. Raises StageError."""
    written = [text for text in TURN_ENDS if text in template]
    for text in written:
        if text in ids:
            return text
    raise StageError(
        f"has no token {' or '.join(written)}, so an answer could never end",
        where=str(path),
        expected="the token with which the chat template ends a turn",
        do="use the tokenizer that belongs to the chat template",
    )


def read_pre_tokenizer(tokenizer: dict[str, Any], path: Path) -> PreTokenizer:
    """llama.cpp's name for how tokenizer.json splits text. Raises StageError."""
    normalizer = tokenizer.get("normalizer")
    if normalizer not in (None, {"type": "NFC"}):
        raise _not_followed("the normalizer", normalizer, "NFC or none", path)
    steps = tokenizer.get("pre_tokenizer") or {}
    steps = steps.get("pretokenizers", [steps])
    kinds = [step.get("type") for step in steps]
    if kinds != ["Split", "ByteLevel"]:
        raise _not_followed("the pre-tokenizer", kinds, "Split, then ByteLevel", path)
    split, byte_level = steps
    if split.get("behavior") != "Isolated" or split.get("invert"):
        raise _not_followed("the split", split, "behavior Isolated, not inverted", path)
    if byte_level.get("use_regex", True) or byte_level.get("add_prefix_space"):
        raise _not_followed(
            "the ByteLevel step", byte_level, "no regex and no prefix space of its own", path
        )
    regex = split.get("pattern", {}).get("Regex")
    if regex not in PRE_TOKENIZERS:
        known = ", ".join(known.name for known in PRE_TOKENIZERS.values())
        raise _not_followed("the split regex", regex, f"that of {known}", path)
    found = PRE_TOKENIZERS[regex]
    if bool(tokenizer["model"].get("ignore_merges")) != found.ignore_merges:
        raise _not_followed(
            "the BPE option ignore_merges",
            not found.ignore_merges,
            f"{found.ignore_merges} with the split regex of {found.name}",
            path,
        )
    return found


def looks_special(text: str) -> bool:
    """Whether llama.cpp's converter takes an added token for a special one that its makers have
    not marked so."""
    return text.startswith("<|") and text.endswith("|>")


def _read_tokenizer(path: Path) -> dict[str, Any]:
    """tokenizer.json, which the reference library has judged to be whole."""
    from tokenizers import Tokenizer

    content = read_json(path)
    model = content.get("model")
    if not isinstance(model, dict) or model.get("type") != "BPE":
        kind = model.get("type") if isinstance(model, dict) else model
        raise _not_followed("the model", kind, "BPE", path)
    try:
        Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises bare Exception
        raise StageError(
            f"is no whole tokenizer: {error}",
            where=str(path),
            expected="a tokenizer.json that the tokenizers library loads",
            do="copy it from the base model again",
        ) from error
    model["merges"] = [
        merge.split(" ") if isinstance(merge, str) else merge for merge in model["merges"]
    ]
    return content


def _added_bos(tokenizer: dict[str, Any], path: Path) -> int | None:
    """The token that the post-processor puts before a text; None where it adds nothing."""
    processor = tokenizer.get("post_processor") or {}
    found = None
    for step in processor.get("processors", [processor] if processor else []):
        pieces = step.get("single", [])
        special = [piece["SpecialToken"]["id"] for piece in pieces if "SpecialToken" in piece]
        if (
            step.get("type") not in ("ByteLevel", "TemplateProcessing")
            or len(special) > 1
            or (special and ("SpecialToken" not in pieces[0] or found is not None))
        ):
            raise _not_followed(
                "the post-processor", step, "one that adds no token, or one at the front", path
            )
        if special:
            (found,) = step["special_tokens"][special[0]]["ids"]
    return found


def _token_ids(tokenizer: dict[str, Any], path: Path) -> dict[str, int]:
    model = tokenizer["model"]
    for option, expected in {
        "byte_fallback": "off",
        "dropout": "off",
        "continuing_subword_prefix": "empty",
        "end_of_word_suffix": "empty",
    }.items():
        if model.get(option):
            raise _not_followed(f"the BPE option {option}", model[option], expected, path)
    added = tokenizer.get("added_tokens", [])
    for token in added:
        for option in ("lstrip", "rstrip", "single_word"):
            if token.get(option):
                raise _not_followed(
                    f"the added token {token['content']!r}", f"{option}=true", "false", path
                )
    ids: dict[str, int] = {**model["vocab"], **{t["content"]: t["id"] for t in added}}
    if missing := [number for number, text in byte_characters().items() if text not in ids]:
        raise StageError(
            f"has no token for the byte 0x{missing[0]:02x}"
            + (f" and {len(missing) - 1} more" if len(missing) > 1 else ""),
            where=str(path),
            expected="a token for each of the 256 bytes, so that every text can be written",
            do="copy the tokenizer from the base model again",
        )
    if len(set(ids.values())) != len(ids):
        texts: dict[int, str] = {}
        for text, number in ids.items():
            if number in texts:
                raise StageError(
                    f"gives the id {number} to two tokens, {texts[number]!r} and {text!r}",
                    where=str(path),
                    do="copy the tokenizer from the base model again",
                )
            texts[number] = text
    return ids


def byte_characters() -> dict[int, str]:
    """How a byte-level tokenizer writes each byte: as itself where that can be seen, the others
    as the characters from 256 on."""
    seen = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    rest = (number for number in range(256) if number not in seen)
    return {number: chr(number) for number in seen} | {
        number: chr(256 + place) for place, number in enumerate(rest)
    }


def _padded(
    ids: dict[str, int], tokenizer: dict[str, Any], size: int, path: Path
) -> tuple[list[str], list[int]]:
    """Tokens and their types by id; ids without a token are named [PADi] and never used."""
    largest = max(ids.values())
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
        text = token["content"]
        special = token.get("special") or looks_special(text)
        types[token["id"]] = CONTROL if special else USER_DEFINED
    return tokens, types


def _stated(folder: Path, role: str, ids: dict[str, int]) -> int | None:
    """The token that tokenizer_config.json names for a role such as "bos"."""
    path = folder / "tokenizer_config.json"
    text = read_json(path).get(f"{role}_token") if path.exists() else None
    text = text.get("content") if isinstance(text, dict) else text
    return ids.get(text) if isinstance(text, str) else None


def _notes(folder: Path, turn_end: str, eos: int, types: list[int], largest: int) -> list[str]:
    notes = []
    path = folder / "generation_config.json"
    stated = read_json(path).get("eos_token_id") if path.exists() else None
    listed = stated if isinstance(stated, list) else [stated]
    if stated is not None and eos not in listed:
        notes.append(
            f"generation_config.json ends a generation with token {stated}; the GGUF ends it with "
            f"{turn_end} ({eos}), as the chat template does"
        )
    if holes := [number for number in range(largest) if types[number] == UNUSED]:
        notes.append(
            f"tokenizer.json has no token with id {holes[0]}"
            + (f" and {len(holes) - 1} more" if len(holes) > 1 else "")
            + f" below its largest, {largest}; the GGUF calls them [PAD{holes[0]}] and so on"
        )
    return notes


def _not_followed(what: str, found: Any, expected: str, path: Path) -> StageError:
    return StageError(
        f"{what} is {found!r}, which llama.cpp is not known to follow",
        where=str(path),
        expected=expected,
        do="use the tokenizer of a Qwen2, Qwen3 or Llama 3 model",
    )
