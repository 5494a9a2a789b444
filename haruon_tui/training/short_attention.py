"""Attention of short sequences on a CPU: two products and a softmax, all scores at once.

torch's flash kernel for CPUs goes through bf16 in blocks that a sequence of a few hundred tokens
does not fill, forward and backward in about twice the time (`bench/training.py`). Every query
head of a key-value head goes into the same product, so that keys and values are not copied.

This module imports torch and transformers; only a stage that trains imports it.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

NAME = "short_causal"
LONGEST = 384
"""Tokens. The scores of a longer sequence would take more memory than they save time."""


def use_short_attention(causal: Any) -> bool:
    """Let a model compute short causal attention so while it trains on a CPU in bf16; all else
    goes to torch's kernel as before. Says whether it does."""
    if causal.device.type != "cpu" or causal.config._attn_implementation != "sdpa":
        return False
    if causal.dtype != torch.bfloat16:
        return False
    AttentionInterface.register(NAME, short_attention)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    causal.set_attn_implementation(NAME)
    return True


def short_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **more: Any,
) -> tuple[torch.Tensor, None]:
    """softmax(q·kᵀ·scaling)·v over what is not to the right. `query` is (batch, heads, length,
    size), `key` and `value` (batch, key-value heads, length, size); the answer is (batch, length,
    heads, size)."""
    batch, heads, length, size = query.shape
    plain = attention_mask is None and dropout == 0.0 and key.shape[2] == length
    if not plain or length > LONGEST or not torch.is_grad_enabled():
        answer: tuple[torch.Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **more
        )
        return answer
    groups = batch * key.shape[1]
    share = heads // key.shape[1]
    queries = query.reshape(groups, share * length, size)
    keys, values = (one.reshape(groups, length, size) for one in (key, value))
    hidden = torch.full((length, length), float("-inf"), dtype=query.dtype).triu(1)
    scores = torch.baddbmm(
        hidden.repeat(share, 1).expand(groups, -1, -1),
        queries,
        keys.transpose(1, 2),
        alpha=size**-0.5 if scaling is None else scaling,
    )
    read = torch.bmm(scores.softmax(-1), values)
    return read.view(batch, heads, length, size).transpose(1, 2).contiguous(), None
