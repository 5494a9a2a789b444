"""LoRA linears computed in one step: the frozen weight's product and the adapter's update.

PEFT adds the update in passes of its own: the input is cast up to the adapter's fp32 and, by
autocast, down again; the update is scaled and added to a copy of the output. On a memory-bound
device those passes take as long as the products. Here x, A and B are used in the base's
precision, the update is added inside the product (addmm), and one small tensor is kept for the
backward pass.

This module imports torch and peft; only a stage that trains imports it.
"""

from __future__ import annotations

from typing import Any

import torch
from peft.tuners.lora import Linear
from torch import nn


class _LoraProduct(torch.autograd.Function):
    """y = x·Wᵀ + b + s·(x·Aᵀ)·Bᵀ with W and b frozen (Hu et al. 2021, arXiv:2106.09685, (3)).

    With g = ∂L/∂y and u = g·sB: ∂L/∂x = g·W + u·A, ∂L/∂A = uᵀ·x, ∂L/∂B = s·gᵀ·(x·Aᵀ).
    x is (…, in), W (out, in), A (r, in), B (out, r); A and B may be of a higher precision than W.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        down: torch.Tensor,
        up: torch.Tensor,
        scaling: float,
    ) -> torch.Tensor:
        flat = x.reshape(-1, x.shape[-1]).to(weight.dtype)
        a = down.to(weight.dtype)
        b = (up * scaling).to(weight.dtype)
        low = flat @ a.t()
        out = nn.functional.linear(flat, weight, bias).addmm_(low, b.t())
        ctx.save_for_backward(flat, low, weight, a, b)
        ctx.scaling = scaling
        ctx.types = (x.dtype, down.dtype, up.dtype)
        return out.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        flat, low, weight, a, b = ctx.saved_tensors
        x_type, down_type, up_type = ctx.types
        grad = grads[0].reshape(-1, grads[0].shape[-1]).to(weight.dtype)
        low_grad = grad @ b
        down_grad = (low_grad.t() @ flat).to(down_type)
        up_grad = (grad.t() @ low).to(up_type) * ctx.scaling
        x_grad = None
        if ctx.needs_input_grad[0]:
            x_grad = (grad @ weight).addmm_(low_grad, a)
            x_grad = x_grad.view(*grads[0].shape[:-1], -1).to(x_type)
        return x_grad, None, None, down_grad, up_grad, None


class FusedLora(Linear):
    """PEFT's LoRA linear with one active adapter. What it holds, and how it is saved, merged and
    disabled, is PEFT's."""

    def forward(self, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        if self.disable_adapters or self.merged or args or kwargs:
            return super().forward(x, *args, **kwargs)
        (name,) = self.active_adapters
        base = self.get_base_layer()
        out: torch.Tensor = _LoraProduct.apply(
            x,
            base.weight,
            base.bias,
            self.lora_A[name].weight,
            self.lora_B[name].weight,
            self.scaling[name],
        )
        return out


def fuse(model: nn.Module) -> int:
    """Let every plain LoRA linear of a model without dropout compute in one step; returns how
    many. DoRA, dropout, a bias of the adapter, and a base in four bits stay as PEFT has them."""
    count = 0
    for module in model.modules():
        if type(module) is Linear and _is_plain(module):
            module.__class__ = FusedLora
            count += 1
    return count


def _is_plain(module: Linear) -> bool:
    base = module.get_base_layer()
    names = list(module.lora_A.keys())
    return (
        type(base) is nn.Linear
        and len(names) == 1
        and not module.lora_variant
        and module.lora_B[names[0]].bias is None
        and isinstance(module.lora_dropout[names[0]], nn.Identity)
        and not base.weight.requires_grad
    )
