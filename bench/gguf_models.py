"""Model folders of any shape with random weights, to convert: no torch, the same bits everywhere.

The tokenizer is made of a few merges, or is the real one of a vocabulary file of llama.cpp
(models/ggml-vocab-qwen2.gguf and models/ggml-vocab-llama-bpe.gguf in its source).
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from haruon_tui.gguf.families import FAMILIES, tensors
from haruon_tui.gguf.vocabulary import PRE_TOKENIZERS

CHATML = (
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] "
    "+ '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
LLAMA3 = (
    "{{ bos_token }}{% for message in messages %}{{ '<|start_header_id|>' + message['role'] + "
    "'<|end_header_id|>\n\n' + message['content'] | trim + '<|eot_id|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}"
    "{% endif %}"
)
LLAMA3_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 500000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}
SPECIAL = {
    "qwen2": ("<|endoftext|>", "<|im_start|>", "<|im_end|>"),
    "llama-bpe": (
        "<|begin_of_text|>",
        "<|end_of_text|>",
        "<|start_header_id|>",
        "<|end_header_id|>",
        "<|eot_id|>",
    ),
}
MERGES = 200
DTYPES = {"BF16": "<u2", "F16": "<u2", "F32": "<u4"}


def build(
    folder: Path,
    architecture: str = "Qwen2ForCausalLM",
    *,
    layers: int = 2,
    hidden: int = 64,
    feed_forward: int = 192,
    heads: int = 4,
    kv_heads: int = 2,
    head_size: int | None = None,
    tied: bool = True,
    dtype: str = "BF16",
    parts: int = 1,
    real_vocabulary: Path | None = None,
    vocabulary: int | None = None,
) -> Path:
    """Write the model folder; `vocabulary` is the rows of the embedding, at least the tokens."""
    family = FAMILIES[architecture]
    llama = family.gguf == "llama"
    folder.mkdir(parents=True)
    tokenizer = _tokenizer("llama-bpe" if llama else "qwen2", real_vocabulary)
    tokens = len(tokenizer["model"]["vocab"]) + len(tokenizer["added_tokens"])
    rows = vocabulary or (tokens // 64 + 1) * 64
    ids = {token["content"]: token["id"] for token in tokenizer["added_tokens"]}
    end, first = ("<|eot_id|>", "<|begin_of_text|>") if llama else ("<|im_end|>", "<|endoftext|>")
    _write(folder / "tokenizer.json", tokenizer)
    _write(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "eos_token": end,
            "pad_token": "<|end_of_text|>" if llama else "<|endoftext|>",
            "bos_token": first if llama else None,
            "chat_template": LLAMA3 if llama else CHATML,
            "clean_up_tokenization_spaces": False,
        },
    )
    _write(folder / "generation_config.json", {"eos_token_id": ids[end], "top_p": 0.8})
    size = head_size or hidden // heads
    config = {
        "architectures": [architecture],
        "model_type": family.gguf,
        "hidden_size": hidden,
        "intermediate_size": feed_forward,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "vocab_size": rows,
        "max_position_embeddings": 2048,
        "rms_norm_eps": 1e-6,
        "hidden_act": "silu",
        "tie_word_embeddings": tied,
        "bos_token_id": ids[first],
        "eos_token_id": ids[end],
        "rope_parameters": LLAMA3_ROPE if llama else {"rope_type": "default", "rope_theta": 1e6},
    }
    if family.own_head_size:
        config["head_dim"] = size
    _write(folder / "config.json", config)
    shapes = tensors(
        family,
        layers=layers,
        hidden=hidden,
        feed_forward=feed_forward,
        heads=heads,
        kv_heads=kv_heads,
        head_size=size,
        vocabulary=rows,
        tied=tied,
    )
    _write_weights(folder, shapes, dtype, parts)
    return folder


def _write(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def _write_weights(
    folder: Path, shapes: dict[str, tuple[int, ...]], dtype: str, parts: int
) -> None:
    names = list(shapes)
    length = math.ceil(len(names) / parts)
    chosen = [names[start : start + length] for start in range(0, len(names), length)]
    bits = np.random.PCG64(7)
    where = {}
    for number, part in enumerate(chosen, start=1):
        name = "model.safetensors"
        if parts > 1:
            name = f"model-{number:05}-of-{len(chosen):05}.safetensors"
        where |= dict.fromkeys(part, name)
        _write_part(folder / name, {name: shapes[name] for name in part}, dtype, bits)
    if parts > 1:
        _write(folder / "model.safetensors.index.json", {"metadata": {}, "weight_map": where})


def _write_part(
    path: Path, shapes: dict[str, tuple[int, ...]], dtype: str, bits: np.random.PCG64
) -> None:
    width = np.dtype(DTYPES[dtype]).itemsize
    header, offset = {}, 0
    for name, shape in shapes.items():
        end = offset + math.prod(shape) * width
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [offset, end]}
        offset = end
    encoded = json.dumps(header).encode()
    encoded += b" " * (-len(encoded) % 8)
    with path.open("wb") as stream:
        stream.write(len(encoded).to_bytes(8, "little") + encoded)
        for shape in shapes.values():
            left = math.prod(shape)
            while left:
                count = min(left, 1 << 22)
                _random(bits, count, dtype).tofile(stream)
                left -= count


def _random(bits: np.random.PCG64, count: int, dtype: str) -> np.ndarray[Any, Any]:
    """Numbers from 2^-15 to 2^-7 of both signs, with every pattern of the fraction."""
    kind = np.dtype(DTYPES[dtype])
    raw = bits.random_raw(-(-count * kind.itemsize // 8)).view(kind)[:count]
    keep, exponent = {
        "BF16": (0x83FF, 0x3800),
        "F32": (0x83FFFFFF, 0x38000000),
        "F16": (0x8FFF, 0x1000),
    }[dtype]
    return (raw & kind.type(keep)) | kind.type(exponent)


def _tokenizer(kind: str, real: Path | None) -> dict[str, Any]:
    tokens, merges, added = _of_file(real) if real else _synthetic(kind)
    regex = next(regex for regex, known in PRE_TOKENIZERS.items() if known.name == kind)
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False}
    post: dict[str, Any] = byte_level | {"use_regex": False}
    if kind == "llama-bpe":
        bos = "<|begin_of_text|>"
        first = {"SpecialToken": {"id": bos, "type_id": 0}}
        text = [{"Sequence": {"id": "A", "type_id": 0}}]
        second = [{"Sequence": {"id": "B", "type_id": 1}}]
        post = {
            "type": "TemplateProcessing",
            "single": [first, *text],
            "pair": [first, *text, first, *second],
            "special_tokens": {bos: {"id": bos, "ids": [added[bos]], "tokens": [bos]}},
        }
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": number,
                "content": text,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": True,
            }
            for text, number in added.items()
        ],
        "normalizer": {"type": "NFC"} if kind == "qwen2" else None,
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [
                {
                    "type": "Split",
                    "pattern": {"Regex": regex},
                    "behavior": "Isolated",
                    "invert": False,
                },
                byte_level | {"use_regex": False},
            ],
        },
        "post_processor": post,
        "decoder": byte_level | {"use_regex": False},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": "",
            "end_of_word_suffix": "",
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": kind == "llama-bpe",
            "vocab": tokens,
            "merges": merges,
        },
    }


def _of_file(path: Path) -> tuple[dict[str, int], list[str], dict[str, int]]:
    from gguf import GGUFReader

    fields = GGUFReader(path).fields
    texts = fields["tokenizer.ggml.tokens"].contents()
    types = fields["tokenizer.ggml.token_type"].contents()
    normal = {text: i for i, text in enumerate(texts) if types[i] == 1}
    added = {text: i for i, text in enumerate(texts) if types[i] in (3, 4)}
    return normal, fields["tokenizer.ggml.merges"].contents(), added


def _synthetic(kind: str) -> tuple[dict[str, int], list[str], dict[str, int]]:
    """The 256 bytes, and the first pairs of lower-case letters as merges."""
    from haruon_tui.gguf.vocabulary import byte_characters

    texts = list(byte_characters().values())
    letters = "etaoinshrdlucmfw"
    pairs = [(a, b) for a in letters for b in letters][:MERGES]
    texts += [a + b for a, b in pairs]
    tokens = {text: number for number, text in enumerate(texts)}
    added = {text: len(texts) + number for number, text in enumerate(SPECIAL[kind])}
    return tokens, [f"{a} {b}" for a, b in pairs], added
