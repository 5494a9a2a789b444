"""The sizes of a base model that decide how much memory it takes, read without loading it."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from haruon_tui.settings import Settings

TINY_BASE = "tiny"


@dataclass(frozen=True)
class Architecture:
    """A decoder of the Qwen2 and Llama family: gated feed-forward, grouped-query attention."""

    name: str
    hidden: int
    feed_forward: int
    layers: int
    heads: int
    key_value_heads: int
    head_size: int
    vocabulary: int
    tied: bool
    bias: bool = True

    @property
    def queries(self) -> int:
        """Width of the queries of all heads."""
        return self.heads * self.head_size

    @property
    def keys(self) -> int:
        """Width of the keys, and of the values, of all key-value heads."""
        return self.key_value_heads * self.head_size

    @property
    def linears(self) -> dict[str, tuple[int, int]]:
        """The linear modules of one layer: name, and the sizes of what goes in and out."""
        return {
            "q_proj": (self.hidden, self.queries),
            "k_proj": (self.hidden, self.keys),
            "v_proj": (self.hidden, self.keys),
            "o_proj": (self.queries, self.hidden),
            "gate_proj": (self.hidden, self.feed_forward),
            "up_proj": (self.hidden, self.feed_forward),
            "down_proj": (self.feed_forward, self.hidden),
        }

    @property
    def linear_parameters(self) -> int:
        """Weights of all linear modules in the layers, without biases."""
        return self.layers * sum(inside * out for inside, out in self.linears.values())

    @property
    def embedding_parameters(self) -> int:
        """The token embedding, and the output layer where it is not tied to it."""
        return self.vocabulary * self.hidden * (1 if self.tied else 2)

    @property
    def parameters(self) -> int:
        biases = self.layers * (self.queries + 2 * self.keys) if self.bias else 0
        norms = (2 * self.layers + 1) * self.hidden
        return self.linear_parameters + self.embedding_parameters + biases + norms


TINY = Architecture(TINY_BASE, 256, 768, 4, 4, 2, 64, 2304, tied=True)
"""The embedded base, as haruon_tui.model.tiny builds it."""


def architecture_of(settings: Settings) -> Architecture | None:
    """The architecture of the base that the settings name; None when it is not known here: it
    is neither embedded, nor a folder, nor in the Hugging Face cache, nor in data/models."""
    base = settings.model.base
    if base == TINY_BASE:
        return TINY
    folder = Path(base)
    file = folder / "config.json" if folder.is_absolute() else _cached(base)
    if file is not None and file.is_file():
        try:
            return from_config(base, json.loads(file.read_text("utf-8")))
        except (OSError, ValueError, KeyError, TypeError):
            return None
    return published(base)


def from_config(name: str, config: dict[str, Any]) -> Architecture:
    """Read a config.json. Raises KeyError or TypeError when it is of another family."""
    heads = int(config["num_attention_heads"])
    hidden = int(config["hidden_size"])
    model_type = config.get("model_type", "")
    return Architecture(
        name=name,
        hidden=hidden,
        feed_forward=int(config["intermediate_size"]),
        layers=int(config["num_hidden_layers"]),
        heads=heads,
        key_value_heads=int(config.get("num_key_value_heads") or heads),
        head_size=int(config.get("head_dim") or hidden // heads),
        vocabulary=int(config["vocab_size"]),
        tied=bool(config.get("tie_word_embeddings", False)),
        bias=bool(config.get("attention_bias", model_type.startswith("qwen2"))),
    )


def _cached(name: str) -> Path | None:
    """Its config.json in the Hugging Face cache."""
    home = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface")
    hub = Path(os.environ.get("HF_HUB_CACHE") or home / "hub")
    snapshots = hub / f"models--{name.replace('/', '--')}" / "snapshots"
    return next(iter(sorted(snapshots.glob("*/config.json"))), None)


def published(name: str) -> Architecture | None:
    """The architecture of a base in data/models; None for another."""
    file = resources.files("haruon_tui.data.models") / "architectures.json"
    configs: dict[str, dict[str, Any]] = json.loads(file.read_text("utf-8"))["configs"]
    return from_config(name, configs[name]) if name in configs else None
