"""How many operations a training needs for one token, and what share of a device's peak that is.

Per token of a sequence of S tokens (Kaplan et al. 2020, arXiv:2001.08361, section 2.1, with the
attention of Korthikanti et al. 2022, arXiv:2205.05198, halved as it is causal):

* forward: 2 per weight that multiplies (linears and head; an embedding only looks up), and
  2·S·q per layer for attention, q the width of the queries.
* backward: the same again for the gradients of what goes in, and again for the gradients of the
  weights that are trained; twice for attention, which has no weights.

With LoRA: 4·(linears + head) + 6·adapter + 3·attention, for Qwen2-1.5B at S = 1024 and r = 16
6.55 GFLOP; the whole model trained: 6·(linears + head) + 3·attention, 9.53 GFLOP.
Model FLOPs utilisation (Chowdhery et al. 2022, arXiv:2204.02311, appendix B) counts what the
training needs: what activation checkpointing computes again does not count.
"""

from __future__ import annotations

from haruon_tui.hardware.architecture import Architecture
from haruon_tui.hardware.memory_estimate import trained_parameters
from haruon_tui.settings import TrainSettings


def flops_per_token(
    architecture: Architecture, train: TrainSettings, length: float, labelled: float = 1.0
) -> float:
    """Operations for one token of sequences of `length` tokens. `labelled` is the share of
    tokens that have a label: a head that skips the others needs only that share."""
    a = architecture
    head = labelled * a.vocabulary * a.hidden
    multiplied = a.linear_parameters + head
    attention = a.layers * 2 * length * a.queries
    if train.method == "full":
        return 6 * multiplied + 3 * attention
    return 4 * multiplied + 6 * trained_parameters(a, train) + 3 * attention


def utilisation(tokens_per_second: float, per_token: float, peak_tflops: float) -> float:
    """Model FLOPs utilisation, 0 to 1."""
    return tokens_per_second * per_token / (peak_tflops * 1e12)
