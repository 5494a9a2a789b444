"""What each profile needs of a machine."""

from __future__ import annotations

from dataclasses import dataclass

GIB = 1 << 30


@dataclass(frozen=True)
class Amount:
    """GiB: below `least` the work cannot be done, below `good` it will be tight."""

    least: float
    good: float

    def __str__(self) -> str:
        return f"{self.good:g} GiB" if self.good else "none"


@dataclass(frozen=True)
class Needs:
    """`video_memory` is None for a profile that runs without a GPU."""

    memory: Amount
    disk: Amount
    video_memory: Amount | None


NEEDS: dict[str, Needs] = {
    # The imports of a training process take about 1 GiB, its model next to nothing.
    "tiny": Needs(memory=Amount(2, 4), disk=Amount(1, 2), video_memory=None),
    # `good` is what the guide asks for. `least`: the F32 master of a merge is 6 GiB; the base,
    # merged and F16 models are 3 GiB each, five quantizations 6 GiB; QLoRA at batch 1 takes
    # about 6 GiB of video memory, most of it activations and logits.
    "qwen2-1.5b": Needs(memory=Amount(12, 32), disk=Amount(20, 100), video_memory=Amount(6, 16)),
}
