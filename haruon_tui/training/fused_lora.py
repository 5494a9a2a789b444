"""LoRA linears computed in one step: the frozen weight's product and the adapter's update.

PEFT adds the update in passes of its own: the input is cast up to the adapter's fp32 and, by
autocast, down again; the update is scaled and added to a copy of the output. On a memory-bound
device those passes take as long as the products. Here x, A and B are used in the base's
precision, the update is added inside the product (addmm), and one small tensor is kept for the
backward pass. A fast GPU is done with a small tensor before the next is asked for, so that A and B
of all layers are cast together.

This module imports torch and peft; only a stage that trains imports it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from peft.tuners.lora import Linear
from torch import nn
from torch.distributed.tensor import DTensor


class _LoraProduct(torch.autograd.Function):
    """y = x·Wᵀ + b + s·(x·Aᵀ)·Bᵀ with W and b frozen (Hu et al. 2021, arXiv:2106.09685, (3)).

    With g = ∂L/∂y and u = g·sB: ∂L/∂x = g·W + u·A, ∂L/∂A = uᵀ·x, ∂L/∂B = s·gᵀ·(x·Aᵀ).
    x is (…, in), W (out, in), A (r, in), B (out, r). A and B may be of a higher precision than W;
    `a` and `b` are A and s·B in W's.
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
        a: torch.Tensor,
        b: torch.Tensor,
    ) -> torch.Tensor:
        flat = x.reshape(-1, x.shape[-1]).to(weight.dtype)
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
        down_grad = _product(low_grad.t(), flat, down_type)
        up_grad = _product(grad.t(), low, up_type).mul_(ctx.scaling)
        x_grad = None
        if ctx.needs_input_grad[0]:
            x_grad = (grad @ weight).addmm_(low_grad, a)
            x_grad = x_grad.view(*grads[0].shape[:-1], -1).to(x_type)
        return x_grad, None, None, down_grad, up_grad, None, None, None


def _product(left: torch.Tensor, right: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    if left.is_cuda and left.dtype != dtype:
        return torch.mm(left, right, out_dtype=dtype)
    return (left @ right).to(dtype)


class FusedLora(Linear):
    """PEFT's LoRA linear with one active adapter. What it holds, and how it is saved, merged and
    disabled, is PEFT's."""

    cast: tuple[torch.Tensor, torch.Tensor] | None = None
    """A and s·B in the base's precision, where `cast_together` has made them."""

    def forward(self, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        if self.disable_adapters or self.merged or args or kwargs:
            return super().forward(x, *args, **kwargs)
        (name,) = self.active_adapters
        base = self.get_base_layer()
        down, up, scaling = self.adapter(name)
        kind = base.weight.dtype
        a, b = self.cast or (down.to(kind), (up * scaling).to(kind))
        out: torch.Tensor = _LoraProduct.apply(x, base.weight, base.bias, down, up, scaling, a, b)
        return out

    def adapter(self, name: str) -> tuple[torch.Tensor, torch.Tensor, float]:
        """A, B and s."""
        return self.lora_A[name].weight, self.lora_B[name].weight, self.scaling[name]


def fuse(model: nn.Module) -> list[FusedLora]:
    """Let every plain LoRA linear of a model without dropout compute in one step; returns them.
    DoRA, dropout, a bias of the adapter, and a base in four bits stay as PEFT has them."""
    found = []
    for module in model.modules():
        if type(module) is Linear and _is_plain(module):
            module.__class__ = FusedLora
            found.append(module)
    return found


@contextmanager
def cast_together(linears: list[FusedLora]) -> Iterator[None]:
    """Cast the adapters of `linears`, whose bases have one precision, in a few calls for the
    forward passes in the body. Shards of an adapter are not cast, as none is whole here."""
    adapters = [one.adapter(one.active_adapters[0]) for one in linears]
    if not adapters or isinstance(adapters[0][0], DTensor):
        yield
        return
    with torch.no_grad():
        downs, ups, scalings = map(list, zip(*adapters, strict=True))
        exact = [*downs, *torch._foreach_mul(ups, scalings)]
        kind = linears[0].get_base_layer().weight.dtype
        cast = [torch.empty_like(one, dtype=kind) for one in exact]
        torch._foreach_copy_(cast, exact)
    for at, one in enumerate(linears):
        one.cast = cast[at], cast[at + len(linears)]
    try:
        yield
    finally:
        for one in linears:
            one.cast = None


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
