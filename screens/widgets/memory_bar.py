"""The parts of a memory estimate as one bar against what is free."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.content import Content

from haruon_tui.screens.plain_text import one_line

if TYPE_CHECKING:
    from haruon_tui.hardware.memory_plan import MemoryPlan

PARTS = (
    ("weights", "█", "base weights"),
    ("adapter", "▓", "adapter"),
    ("gradients", "▒", "gradients"),
    ("optimizer", "░", "optimizer"),
    ("activations", "█", "activations"),
    ("logits", "▓", "logits"),
    ("buffers", "▒", "runtime and allocator"),
)
"""Part, its pattern, which can be told apart without colour, and its name."""

_COLOURS = (
    "$text-primary",
    "$text-secondary",
    "$text-accent",
    "$text-success",
    "$text-warning",
    "$text-error",
    "$text-muted",
)


def memory_text(plan: MemoryPlan, cells: int) -> Content:
    """What it is about, the bar with a mark where the free memory ends, and every part."""
    parts = plan.estimate.as_dict()
    scale = max(plan.estimate.total, plan.free or 0, 1)
    spans: list[tuple[str, str]] = [(f"{_verdict(plan)}\n\n", "bold")]
    filled = 0
    for (name, pattern, _), colour in zip(PARTS, _COLOURS, strict=True):
        end = round(cells * (sum_until(parts, name) / scale))
        spans.append((pattern * (end - filled), colour))
        filled = end
    spans.append(("·" * max(0, cells - filled), "dim"))
    if plan.free is not None:
        at = min(cells - 1, round(cells * plan.free / scale))
        spans.append((f"\n{' ' * at}▲ {gib(plan.free)} free"[: cells + 1], "bold"))
    for (name, pattern, words), colour in zip(PARTS, _COLOURS, strict=True):
        spans += [(f"\n{pattern * 2} ", colour), (f"{words:<24}{gib(parts[name]):>12}", "")]
    spans.append((f"\n   {'together':<24}{gib(plan.estimate.total):>12}", "bold"))
    return Content.assemble(*spans)


def sum_until(parts: dict[str, int], last: str) -> int:
    """Bytes of the parts up to and with `last`."""
    names = [name for name, _, _ in PARTS]
    return sum(parts[name] for name in names[: names.index(last) + 1])


def gib(count: float) -> str:
    """`3.1 GiB`, or MiB where that says more."""
    if count >= 1 << 30:
        return f"{count / (1 << 30):.1f} GiB"
    return f"{count / (1 << 20):.0f} MiB"


def _verdict(plan: MemoryPlan) -> str:
    name = one_line(plan.architecture.name)
    about = f"{name}, {plan.architecture.parameters / 1e6:,.1f} M parameters, on {plan.device}"
    if plan.free is None:
        return f"? {about}: how much is free is not known"
    words = "✓ fits" if plan.fits else "✗ does not fit"
    return f"{words}: {about}, takes {gib(plan.estimate.total)} of {gib(plan.free)} free"
