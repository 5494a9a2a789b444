"""The config of a Hugging Face model folder, as far as the converter vouches for it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from haruon_tui.errors import StageError

ARCHITECTURE = "Qwen2ForCausalLM"

_DEFAULT_ROPE_THETA = 10000.0  # what transformers takes where a config names none


@dataclass(frozen=True)
class Config:
    """The shape of a Qwen2, as config.json gives it."""

    layers: int
    hidden: int
    feed_forward: int
    heads: int
    kv_heads: int
    vocabulary: int
    context: int
    norm_epsilon: float
    rope_theta: float
    tied: bool
    origin: str
    """Where the weights came from, in the config's own words; may be empty."""

    def tensors(self) -> dict[str, tuple[int, ...]]:
        """The name and shape of every weight such a model has."""
        kv = self.hidden // self.heads * self.kv_heads
        hidden, feed_forward = self.hidden, self.feed_forward
        shapes: dict[str, tuple[int, ...]] = {
            "model.embed_tokens.weight": (self.vocabulary, hidden),
            "model.norm.weight": (hidden,),
        }
        if not self.tied:
            shapes["lm_head.weight"] = (self.vocabulary, hidden)
        for layer in range(self.layers):
            shapes |= {
                f"model.layers.{layer}.{name}": shape
                for name, shape in {
                    "input_layernorm.weight": (hidden,),
                    "self_attn.q_proj.weight": (hidden, hidden),
                    "self_attn.q_proj.bias": (hidden,),
                    "self_attn.k_proj.weight": (kv, hidden),
                    "self_attn.k_proj.bias": (kv,),
                    "self_attn.v_proj.weight": (kv, hidden),
                    "self_attn.v_proj.bias": (kv,),
                    "self_attn.o_proj.weight": (hidden, hidden),
                    "post_attention_layernorm.weight": (hidden,),
                    "mlp.gate_proj.weight": (feed_forward, hidden),
                    "mlp.up_proj.weight": (feed_forward, hidden),
                    "mlp.down_proj.weight": (hidden, feed_forward),
                }.items()
            }
        return shapes


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
    named = config.get("architectures") or [config.get("model_type")]
    if named != [ARCHITECTURE]:
        raise StageError(
            f"the architecture is {', '.join(map(str, named))}",
            where=str(path),
            expected=ARCHITECTURE,
            do="convert this model with the program of its own makers",
        )
    _refuse_variants(config, path)
    found = Config(
        layers=_count(config, "num_hidden_layers", path),
        hidden=_count(config, "hidden_size", path),
        feed_forward=_count(config, "intermediate_size", path),
        heads=_count(config, "num_attention_heads", path),
        kv_heads=_count(config, "num_key_value_heads", path),
        vocabulary=_count(config, "vocab_size", path),
        context=_count(config, "max_position_embeddings", path),
        norm_epsilon=float(config.get("rms_norm_eps", 1e-6)),
        rope_theta=_rope_theta(config, path),
        tied=bool(config.get("tie_word_embeddings", False)),
        origin=str(config.get("_name_or_path") or ""),
    )
    if found.hidden % found.heads or found.heads % found.kv_heads:
        raise StageError(
            f"{found.heads} heads and {found.kv_heads} key-value heads do not divide a width of "
            f"{found.hidden}",
            where=str(path),
        )
    return found


def _refuse_variants(config: dict[str, Any], path: Path) -> None:
    if "quantization_config" in config:
        raise StageError(
            "the weights are already quantized (quantization_config)",
            where=str(path),
            expected="weights in F32, F16 or BF16",
            do="merge into the unquantized base model",
        )
    if config.get("hidden_act", "silu") != "silu":
        raise StageError(
            f"the activation is {config['hidden_act']!r}", where=str(path), expected="'silu'"
        )
    layer_types = config.get("layer_types")
    sliding = set(layer_types) != {"full_attention"} if layer_types else False
    if sliding or (config.get("use_sliding_window") and not layer_types):
        raise StageError(
            "sliding-window attention is switched on (use_sliding_window, layer_types)",
            where=str(path),
            expected="full attention in every layer, as Qwen2 is published",
        )
    head_dim = config.get("head_dim")
    if head_dim and head_dim * config.get("num_attention_heads", 0) != config.get("hidden_size"):
        raise StageError(
            f"head_dim is {head_dim}, which is not hidden_size / num_attention_heads",
            where=str(path),
        )


def _rope_theta(config: dict[str, Any], path: Path) -> float:
    """The base of the rotary embedding; transformers 5 keeps it in rope_parameters."""
    parameters = config.get("rope_parameters") or config.get("rope_scaling") or {}
    kind = parameters.get("rope_type", parameters.get("type", "default"))
    if kind != "default":
        raise StageError(
            f"the rotary embedding is scaled ({kind!r})", where=str(path), expected="'default'"
        )
    return float(
        parameters.get("rope_theta", config.get("rope_theta", _DEFAULT_ROPE_THETA)),
    )


def _count(config: dict[str, Any], key: str, path: Path) -> int:
    value = config.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise StageError(
            f"{key} is {value!r}", where=str(path), expected="a whole number of at least 1"
        )
    return value


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
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise StageError(f"cannot be read: {error}", where=str(path)) from error
    if not isinstance(content, dict):
        raise StageError("is not a JSON object", where=str(path))
    found: dict[str, Any] = content
    return found
