"""The model architectures that the converter vouches for, down to the last tensor."""

from __future__ import annotations

from dataclasses import dataclass

Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Family:
    """What sets one architecture apart from the others; all are decoders with SwiGLU, RMS norms
    and grouped-query attention."""

    architecture: str
    """Its name in the `architectures` of config.json."""
    gguf: str
    """Its name in general.architecture."""
    projection_bias: bool
    """Whether the query, key and value projections have a bias."""
    head_norms: bool
    """Whether queries and keys are normed head by head."""
    own_head_size: bool
    """Whether the size of a head is a number of its own, and not the width over the heads."""
    head_size: int | None
    """The size of a head where config.json names none; None is the width over the heads."""
    pairs_neighbours: bool
    """Whether llama.cpp turns neighbouring elements of a head together. Hugging Face turns the
    first half with the second, so the rows of queries and keys change places."""
    rope_types: tuple[str, ...]
    """Rotary embeddings it may have, as `rope_type` names them."""


FAMILIES = {
    family.architecture: family
    for family in (
        Family("Qwen2ForCausalLM", "qwen2", True, False, False, None, False, ("default",)),
        Family("Qwen3ForCausalLM", "qwen3", False, True, True, 128, False, ("default",)),
        Family("LlamaForCausalLM", "llama", False, False, True, None, True, ("default", "llama3")),
    )
}


def tensors(
    family: Family,
    *,
    layers: int,
    hidden: int,
    feed_forward: int,
    heads: int,
    kv_heads: int,
    head_size: int,
    vocabulary: int,
    tied: bool,
) -> Shapes:
    """Name and shape of every weight of such a model, in the order of a GGUF file: embeddings,
    norm, output, then layer by layer."""
    queries, keys = heads * head_size, kv_heads * head_size
    shapes: Shapes = {
        "model.embed_tokens.weight": (vocabulary, hidden),
        "model.norm.weight": (hidden,),
    }
    if not tied:
        shapes["lm_head.weight"] = (vocabulary, hidden)
    layer: Shapes = {
        "input_layernorm.weight": (hidden,),
        "self_attn.q_proj.weight": (queries, hidden),
        "self_attn.k_proj.weight": (keys, hidden),
        "self_attn.v_proj.weight": (keys, hidden),
        "self_attn.o_proj.weight": (hidden, queries),
        "post_attention_layernorm.weight": (hidden,),
        "mlp.gate_proj.weight": (feed_forward, hidden),
        "mlp.up_proj.weight": (feed_forward, hidden),
        "mlp.down_proj.weight": (hidden, feed_forward),
    }
    if family.projection_bias:
        layer["self_attn.q_proj.bias"] = (queries,)
        layer["self_attn.k_proj.bias"] = layer["self_attn.v_proj.bias"] = (keys,)
    if family.head_norms:
        layer["self_attn.q_norm.weight"] = layer["self_attn.k_norm.weight"] = (head_size,)
    for number in range(layers):
        shapes |= {f"model.layers.{number}.{name}": shape for name, shape in layer.items()}
    return shapes
