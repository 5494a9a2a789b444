"""The loss of the labelled tokens, and nothing else: no logits for a position without a label.

TRL's fused head scores every position of a batch, and their entropy and accuracy as well. Half
of a record is prompt, so half of that work is for nothing.

This module imports torch; only a stage that trains imports it.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import nn
from torch.nn import functional

_HEADS_WITHOUT_MORE = frozenset({"qwen2", "qwen3", "llama", "mistral"})
"""Families whose logits are the last hidden state times the head's weight, and nothing more."""
_LIGER_BUDGET = 16
"""Rows of logits that Liger makes at once, as a multiple of hidden / vocabulary of all rows: at
its own 1, the head of Qwen2 is read 99 times for a batch."""


def can_score(model: nn.Module) -> bool:
    """Whether `labelled_loss` gives this model's loss."""
    return getattr(model.config, "model_type", "") in _HEADS_WITHOUT_MORE


def use_liger(causal: Any) -> bool:
    """Let norms, rotary embeddings and the gated feed-forward compute by Liger's kernels, on a
    GPU where they are installed; says whether they do."""
    if causal.device.type != "cuda":
        return False
    try:
        from liger_kernel.transformers.monkey_patch import MODEL_TYPE_TO_APPLY_LIGER_FN
    except ImportError:
        return False
    apply = MODEL_TYPE_TO_APPLY_LIGER_FN[causal.config.model_type]
    apply(fused_linear_cross_entropy=False, model=causal)  # the head is read below
    return True


def labelled_loss(
    causal: Any, input_ids: torch.Tensor, places: torch.Tensor, targets: torch.Tensor
) -> torch.Tensor:
    """The sum of the negative log-likelihoods of `targets`.

    `input_ids` is (batch, length), padded on the right; `places` are the positions in it, counted
    row by row, from which `targets` are predicted, both of shape (labels,). Padding needs no
    mask: a causal model's token sees nothing to its right, and padding has no label.
    """
    hidden = causal.base_model(input_ids=input_ids, use_cache=False).last_hidden_state
    hidden = hidden.flatten(0, 1).index_select(0, places)
    head = causal.get_output_embeddings().weight
    if fused := _fused_head(hidden):
        total: torch.Tensor = fused(hidden, head, targets)
        return total
    logits = functional.linear(hidden.to(head.dtype), head)
    return functional.cross_entropy(logits.float(), targets, reduction="sum")


def _fused_head(hidden: torch.Tensor) -> Any:
    """Liger's head, which keeps no logits for the backward pass, on a GPU that has it."""
    if hidden.device.type != "cuda":
        return None
    try:
        from liger_kernel.transformers.functional import liger_fused_linear_cross_entropy
    except ImportError:
        return None
    return functools.partial(
        liger_fused_linear_cross_entropy, reduction="sum", chunk_mem_const=_LIGER_BUDGET
    )
