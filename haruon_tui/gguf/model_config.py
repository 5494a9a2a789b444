"""The config of a Hugging Face model folder, as far as the converter vouches for it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from haruon_tui.errors import StageError
from haruon_tui.gguf import families
from haruon_tui.gguf.families import FAMILIES, Family

_DEFAULT_ROPE_THETA = 10000.0  # what transformers takes where a config names none
_LARGEST = 1 << 31
_LLAMA3_ROPE = (
    "factor",
    "low_freq_factor",
    "high_freq_factor",
    "original_max_position_embeddings",
)
_ROPE_KEYS = ("rope_type", "type", "rope_theta", "partial_rotary_factor")


@dataclass(frozen=True)
class Config:
    """The shape of a model, as config.json gives it."""

    family: Family
    layers: int
    hidden: int
    feed_forward: int
    heads: int
    kv_heads: int
    head_size: int
    vocabulary: int
    context: int
    norm_epsilon: float
    rope_theta: float
    rope_scaling: dict[str, float] | None
    """The four numbers of Llama 3's rotary embedding; None where it is not scaled."""
    tied: bool
    bos: int | None
    """bos_token_id, which need not be there."""
    origin: str
    """Where the weights came from, in the config's own words; may be empty."""

    def tensors(self) -> families.Shapes:
        """The name and shape of every weight such a model has."""
        return families.tensors(
            self.family,
            layers=self.layers,
            hidden=self.hidden,
            feed_forward=self.feed_forward,
            heads=self.heads,
            kv_heads=self.kv_heads,
            head_size=self.head_size,
            vocabulary=self.vocabulary,
            tied=self.tied,
        )


def read_config(folder: Path) -> Config:
    """Read config.json and refuse by name whatever the converter would get wrong.

    Raises StageError.
    """
    if not folder.is_dir():
        raise StageError("there is no such model folder", where=str(folder))
    path = folder / "config.json"
    if not path.exists() and (folder / "adapter_config.json").exists():
        raise StageError(
            "holds an adapter, not a model",
            where=str(folder),
            do="merge the adapter into its base model first: haruon merge",
        )
    config = read_json(path)
    family = _family(config, path)
    _refuse_variants(config, family, path)
    hidden = _count(config, "hidden_size", path)
    heads = _count(config, "num_attention_heads", path)
    theta, scaling = _rope(config, family, path)
    found = Config(
        family=family,
        layers=_count(config, "num_hidden_layers", path),
        hidden=hidden,
        feed_forward=_count(config, "intermediate_size", path),
        heads=heads,
        kv_heads=_count({"num_key_value_heads": heads} | config, "num_key_value_heads", path),
        head_size=_head_size(config, family, hidden, heads, path),
        vocabulary=_count(config, "vocab_size", path),
        context=_count(config, "max_position_embeddings", path),
        norm_epsilon=_positive({"rms_norm_eps": 1e-6} | config, "rms_norm_eps", path),
        rope_theta=theta,
        rope_scaling=scaling,
        tied=bool(config.get("tie_word_embeddings", False)),
        bos=bos if isinstance(bos := config.get("bos_token_id"), int) else None,
        origin=str(config.get("_name_or_path") or ""),
    )
    if heads % found.kv_heads:
        raise StageError(
            f"{heads} heads cannot share {found.kv_heads} key-value heads evenly",
            where=str(path),
            expected="a num_key_value_heads that divides num_attention_heads",
        )
    return found


def _family(config: dict[str, Any], path: Path) -> Family:
    if "auto_map" in config:
        raise StageError(
            "the model brings Python code of its own (auto_map), which may change anything",
            where=str(path),
            expected=f"one of {', '.join(FAMILIES)}, as transformers has it",
        )
    named = config.get("architectures") or [config.get("model_type")]
    named = named if isinstance(named, list) else [named]
    if len(named) != 1 or named[0] not in FAMILIES:
        raise StageError(
            f"the architecture is {', '.join(map(str, named))}",
            where=str(path),
            expected=f"one of {', '.join(FAMILIES)}",
            do="convert this model with the program of its own makers",
        )
    return FAMILIES[named[0]]


def _refuse_variants(config: dict[str, Any], family: Family, path: Path) -> None:
    if config.get("quantization_config"):
        raise StageError(
            "the weights are already quantized (quantization_config)",
            where=str(path),
            expected="weights in F32, F16 or BF16",
            do="merge into the unquantized base model",
        )
    layer_types = config.get("layer_types")
    sliding = set(map(str, layer_types)) != {"full_attention"} if layer_types else False
    if sliding or (config.get("use_sliding_window") and not layer_types):
        raise StageError(
            "sliding-window attention is switched on (use_sliding_window, layer_types)",
            where=str(path),
            expected=f"full attention in every layer, as {family.gguf} is published",
        )
    for key, expected in {
        "hidden_act": "silu",
        "mlp_bias": False,
        "attention_bias": family.projection_bias,
        "partial_rotary_factor": 1.0,
        "pretraining_tp": 1,
        "is_causal": True,
    }.items():
        if config.get(key, expected) not in (expected, None):
            raise StageError(
                f"{key} is {config[key]!r}", where=str(path), expected=f"{expected!r}"
            )


def _head_size(config: dict[str, Any], family: Family, hidden: int, heads: int, path: Path) -> int:
    if config.get("head_dim") is not None:
        size = _count(config, "head_dim", path)
        if size * heads != hidden and not family.own_head_size:
            raise StageError(
                f"head_dim is {size}, which is not hidden_size / num_attention_heads",
                where=str(path),
            )
    elif family.head_size:
        size = family.head_size
    elif hidden % heads:
        raise StageError(
            f"{heads} heads do not divide a width of {hidden} (hidden_size) evenly",
            where=str(path),
        )
    else:
        size = hidden // heads
    if size % 2:
        raise StageError(f"the size of a head is odd: {size} (head_dim)", where=str(path))
    return size


def _rope(
    config: dict[str, Any], family: Family, path: Path
) -> tuple[float, dict[str, float] | None]:
    """Base and scaling of the rotary embedding; transformers 5 keeps it in rope_parameters."""
    stated = config.get("rope_scaling") or config.get("rope_parameters") or {}
    if not isinstance(stated, dict):
        raise StageError(f"rope_parameters is {stated!r}", where=str(path), expected="an object")
    kind = stated.get("rope_type", stated.get("type", "default"))
    if kind not in family.rope_types:
        raise StageError(
            f"the rotary embedding is scaled ({kind!r})",
            where=str(path),
            expected=" or ".join(map(repr, family.rope_types)),
        )
    known = (*_ROPE_KEYS, *_LLAMA3_ROPE) if kind == "llama3" else _ROPE_KEYS
    if unknown := sorted(set(stated) - set(known)):
        raise StageError(
            f"the rotary embedding has {unknown[0]}, which is not known here",
            where=str(path),
            expected=", ".join(known),
        )
    if stated.get("partial_rotary_factor", 1.0) != 1.0:
        raise StageError(
            f"only {stated['partial_rotary_factor']} of each head is rotated "
            "(partial_rotary_factor)",
            where=str(path),
            expected="1.0",
        )
    theta = {"rope_theta": _DEFAULT_ROPE_THETA, **config} | stated
    scaling = (
        {key: _positive(stated, key, path) for key in _LLAMA3_ROPE} if kind == "llama3" else None
    )
    if scaling and scaling["low_freq_factor"] >= scaling["high_freq_factor"]:
        raise StageError(
            "low_freq_factor is not below high_freq_factor (rope_parameters)", where=str(path)
        )
    return _positive(theta, "rope_theta", path), scaling


def _count(config: dict[str, Any], key: str, path: Path) -> int:
    value = config.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value < _LARGEST:
        raise StageError(
            f"{key} is {value!r}", where=str(path), expected="a whole number of at least 1"
        )
    return value


def _positive(config: dict[str, Any], key: str, path: Path) -> float:
    value = config.get(key)
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < 1e12:
        raise StageError(f"{key} is {value!r}", where=str(path), expected="a number above 0")
    return float(value)


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file of the model folder. Raises StageError."""
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise StageError(
            "this file is missing",
            where=str(path),
            expected="a whole Hugging Face model folder",
            do="save model and tokenizer there with save_pretrained",
        ) from error
    except (OSError, ValueError, RecursionError) as error:  # UnicodeDecodeError is a ValueError
        raise StageError(f"cannot be read: {error}", where=str(path)) from error
    if not isinstance(content, dict):
        raise StageError("is not a JSON object", where=str(path))
    found: dict[str, Any] = content
    return found
