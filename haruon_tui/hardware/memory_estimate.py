"""How much memory a training will take, part by part, before anything is loaded.

What a training step holds at its peak, which is at the end of the forward pass and the start of
the backward pass, in bytes. `c` is the size of a number in the precision, 4 that of fp32:

* weights: LoRA keeps the base in the precision, `c` each; a base that is itself trained stays
  fp32 and is cast to the precision while it computes, 4 + c; QLoRA keeps linear layers as NF4 with
  double quantization, 0.5 + 8/64/8 + 32/(64·256)/8 = 0.516 bytes (Dettmers et al. 2023,
  arXiv:2305.14314, section 3), and the rest in the precision.
* adapter: r·(in + out) numbers per adapted linear, fp32 (Hu et al. 2021, arXiv:2106.09685).
* gradients 4 and optimizer 8 (the two moments of AdamW, Kingma & Ba 2015) per trained number.
* activations: what autograd keeps for the backward pass. The count is that of Korthikanti et al.
  2022 (arXiv:2205.05198, section 4.1) redone for this family and for what PyTorch and PEFT keep
  today, checked tensor by tensor with torch.autograd.graph.saved_tensors_hooks. Per token and
  layer, with h hidden, f feed-forward, q and k the widths of queries and keys, r the rank:
  2·4h for the two norms; c·(q + q + 2k) for queries, attention's answer, keys and values
  (SDPA keeps no scores, but 4 bytes per head of log-sum-exp); 3·c·f for gate, its SiLU and up; the
  inputs of adapted linears, c·in each below fp32, where autocast makes each its own copy,
  else, with fused kernels and with QLoRA, whose adapter TRL keeps in bf16, one for those that
  share it; c·r per adapter; with dropout 4·in
  more per adapter; the scores of training/short_attention.py where it computes, c·heads·length.
  On a GPU the fused kernels (Liger's) keep c·h for each norm, and of the feed-forward gate, up
  and their product. Activation checkpointing keeps only c·h per layer, and one whole layer while
  that is recomputed.
* logits: per position c + 4 for the logits and their fp32 log-softmax, 4 + 4 for their gradients;
  with fused kernels 4 less. On a GPU they are made in tiles: TRL's head takes 4,096 positions by
  8,192 words at a time, Liger's a power of two of positions, at least 16·h/vocabulary of them
  (training/loss.py).
* several processes: each takes what one takes. With FSDP each of n holds 1/n of weights, adapter,
  gradients and optimizer, and whole, in the precision, the layer that computes, the next one,
  which is fetched ahead, embeddings and head (Zhao et al. 2023, arXiv:2304.11277, section 3).
* buffers: what the runtime itself takes, and what the allocator cannot use. On a CPU glibc's
  malloc, in which long-lived tensors stand between short-lived ones, takes 0.3 to 0.7 of
  activations and logits again, more where a whole model is trained with checkpointing (`python -m
  bench memory_estimate`). On a GPU the context takes 0.8 GB, and the allocator with expandable
  segments next to nothing (`python -m bench gpu_memory`, NVIDIA H200).
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

from haruon_tui.hardware import cuda, processor
from haruon_tui.hardware.architecture import Architecture
from haruon_tui.settings import TrainSettings

DeviceKind = Literal["cuda", "mps", "cpu"]

MIB = 1 << 20
NF4_BYTES = 0.5 + 1 / 64 + 4 / (64 * 256)
_RUNTIME = {"cpu": 47 * MIB, "cuda": 765 * MIB, "mps": 300 * MIB}
"""On the CPU: oneDNN's scratch and what is imported late. On CUDA: context and cuBLAS
workspaces."""
_GPU_SLACK = 0.01
_TRL_TILE = (4096, 8192)
_SHORT_ATTENTION = 384
_LIGER_BUDGET = 16
"""Both as training/short_attention.py and training/loss.py have them."""
_LENGTHS = (4096, 3072, 2048, 1536, 1024, 768, 512, 384, 256)


@dataclass(frozen=True)
class Estimate:
    """Bytes per part, at batches of the longest length."""

    weights: int
    adapter: int
    gradients: int
    optimizer: int
    activations: int
    logits: int
    buffers: int

    @property
    def total(self) -> int:
        return sum(asdict(self).values())

    def as_dict(self) -> dict[str, int]:
        """Every part, and the total."""
        return {**asdict(self), "total": self.total}


@dataclass(frozen=True)
class Suggestion:
    """A change of settings with which the training fits: keys of haruon.toml and values."""

    words: str
    changes: dict[str, Any]
    estimate: Estimate


def estimate(
    architecture: Architecture,
    train: TrainSettings,
    *,
    device: DeviceKind = "cuda",
    length: int | None = None,
) -> Estimate:
    """The peak of a training step in one process, without what is resident after the imports.
    `length` is the longest example in tokens, `train.max_length` unless told otherwise."""
    size = number_bytes(train, device)
    trained = trained_parameters(architecture, train)
    full = train.method == "full"
    longest = train.max_length if length is None else length
    tokens = train.batch_size * longest
    kept = _kept_per_token(architecture, train, size, device)
    if device == "cpu" and train.kernels == "fused" and not full and size < 4:
        kept += size * architecture.heads * longest if longest <= _SHORT_ATTENTION else 0
    if train.gradient_checkpointing:
        layers = tokens * (architecture.layers * size * architecture.hidden + kept)
    else:
        layers = tokens * architecture.layers * kept
    logits = _logits(architecture, train, size, tokens, device)
    if train.gradient_checkpointing and device == "cuda":
        logits = max(0.0, logits - tokens * kept)  # gone before the one layer is recomputed
    shards = train.processes * train.machines if train.strategy == "fsdp" else 1
    gathered = _gathered(architecture, size) if shards > 1 else 0.0
    return Estimate(
        weights=round(_weights(architecture, train, size) / shards + gathered),
        adapter=0 if full else 4 * trained // shards,
        gradients=4 * trained // shards,
        optimizer=8 * trained // shards,
        activations=round(layers),
        logits=round(logits),
        buffers=round(_RUNTIME[device] + _slack(train, size, layers, logits, device)),
    )


def what_fits(
    architecture: Architecture, train: TrainSettings, free: int, device: DeviceKind = "cuda"
) -> list[Suggestion]:
    """The changes with which the training fits into `free` bytes, the mildest first; the global
    batch stays what it is. Empty when it fits as it is, or when nothing helps."""
    if estimate(architecture, train, device=device).total <= free:
        return []
    found: list[Suggestion] = []
    for words, changes in _milder(train):
        changed = train.model_copy(update=changes)
        if (batch := largest_batch(architecture, changed, free, device)) is None:
            continue
        if batch != changed.batch_size:
            whole = changed.batch_size * changed.accumulation
            accumulation = whole // batch
            changes = {**changes, "batch_size": batch, "accumulation": accumulation}
            words = f"{words}, batch {batch} x {accumulation}".removeprefix(", ")
        fitting = train.model_copy(update=changes)
        named = {f"train.{key}": value for key, value in changes.items()}
        found.append(Suggestion(words, named, estimate(architecture, fitting, device=device)))
    return found


def number_bytes(train: TrainSettings, device: DeviceKind) -> int:
    """Bytes of a number in the precision that haruon_tui.model.compute takes on the device. What
    a GPU has of bf16 is not known here: `on_gpu` says it."""
    if train.precision == "auto":
        has_bf16 = device == "cuda" or (device == "cpu" and processor.multiplies_bf16())
        return 2 if has_bf16 else 4
    on_cpu = train.precision == "fp16" and device == "cpu"
    return 4 if train.precision == "fp32" or on_cpu else 2


def on_gpu(train: TrainSettings, capability: tuple[int, int] | None) -> TrainSettings:
    """The settings as a GPU of that compute capability computes them: "auto" is fp32 where it
    multiplies no bf16. One that is not known has it."""
    if train.precision != "auto" or capability is None or capability >= cuda.BF16:
        return train
    return train.model_copy(update={"precision": "fp32"})


def trained_parameters(architecture: Architecture, train: TrainSettings) -> int:
    """How many numbers the optimizer changes."""
    if train.method == "full":
        return architecture.parameters
    return architecture.layers * sum(
        train.rank * (inside + out) for inside, out in _adapted(architecture, train).values()
    )


def fuses_lora(train: TrainSettings) -> bool:
    """Whether the adapter's linears are computed by training/fused_lora.py."""
    return train.kernels == "fused" and train.method in ("lora", "rslora") and not train.dropout


def _logits(
    a: Architecture, train: TrainSettings, size: int, tokens: int, device: DeviceKind
) -> float:
    """At their peak, when every token has a label."""
    fused = train.kernels == "fused"
    if device != "cuda":
        return tokens * a.vocabulary * (size + (8 if fused else 12))
    if not fused:
        rows, words = _TRL_TILE
        return min(tokens, rows) * min(words, a.vocabulary) * (size + 4) + 4 * tokens * a.hidden
    if not importlib.util.find_spec("liger_kernel"):
        return tokens * a.vocabulary * (size + 8)
    parts = -(-a.vocabulary // (_LIGER_BUDGET * a.hidden))
    rows = min(tokens, 1 << (-(-tokens // parts) - 1).bit_length())
    return size * (rows * a.vocabulary + tokens * a.hidden)


def _slack(
    train: TrainSettings, size: int, layers: float, logits: float, device: DeviceKind
) -> float:
    """What the allocator cannot use."""
    if device != "cpu":
        return _GPU_SLACK * (layers + logits)
    if train.method == "full":
        plain, checkpointing = (0.72, 1.15) if size < 4 else (0.34, 0.95)
        share = checkpointing if train.gradient_checkpointing else plain
        return share * (layers + logits)
    if train.gradient_checkpointing:
        return 0.6 * (layers + logits)
    if fuses_lora(train):
        return 0.32 * (layers + logits)
    if train.kernels == "fused" and train.dropout > 0:
        return 0.8 * layers + 0.7 * logits
    return 0.32 * layers + 0.7 * logits


def _adapted(architecture: Architecture, train: TrainSettings) -> dict[str, tuple[int, int]]:
    linears = architecture.linears
    if train.targets == "all-linear":
        return linears
    return {name: linears[name] for name in train.targets if name in linears}


def _weights(architecture: Architecture, train: TrainSettings, size: int) -> float:
    if train.method == "full":
        cast = size * architecture.linear_parameters if size < 4 else 0
        return 4 * architecture.parameters + cast
    if train.method == "qlora":
        rest = architecture.parameters - architecture.linear_parameters
        return NF4_BYTES * architecture.linear_parameters + size * rest
    return size * architecture.parameters


def _gathered(architecture: Architecture, size: int) -> float:
    """The weights that a process holds whole at once where all are sharded."""
    layer = architecture.linear_parameters / architecture.layers
    rest = architecture.parameters - architecture.linear_parameters
    return size * (2 * layer + rest)


def _kept_per_token(a: Architecture, train: TrainSettings, size: int, device: DeviceKind) -> float:
    """Bytes that one layer keeps of one token for the backward pass."""
    kept = 2 * 4 * a.hidden + size * (2 * a.queries + 2 * a.keys) + 4 * a.heads
    kept += 3 * size * a.feed_forward
    if train.method == "full":
        if size == 4:
            return kept + 4 * (3 * a.hidden + a.feed_forward)
        # The stream is fp32, and autocast makes each linear a copy of its input.
        return kept + 2.5 * 4 * a.hidden + size * (6 * a.hidden + a.feed_forward)
    adapted = _adapted(a, train)
    inputs = {name: inside for name, (inside, _) in adapted.items()}
    if train.kernels == "fused" and device == "cuda":
        others = [
            width for name, width in _distinct(inputs).items() if name in ("qkv", "gate_proj")
        ]
        kept = size * (2 * a.hidden + 2 * a.queries + 2 * a.keys + 3 * a.feed_forward)
        kept += 4 * a.heads + size * (sum(others) + train.rank * len(adapted))
        return kept + (4 * sum(inputs.values()) if train.dropout > 0 else 0)
    if size < 4 and not fuses_lora(train) and train.method != "qlora":
        kept += size * sum(inputs.values())
    else:
        kept += size * sum(_distinct(inputs).values())
    kept += size * train.rank * len(adapted)
    if train.dropout > 0:
        kept += 4 * sum(inputs.values())
    return kept


def _distinct(inputs: dict[str, int]) -> dict[str, int]:
    """Widths of the inputs, once for linears that share one: q, k and v, and gate and up."""
    shared = {"q_proj": "qkv", "k_proj": "qkv", "v_proj": "qkv", "up_proj": "gate_proj"}
    return {shared.get(name, name): width for name, width in inputs.items()}


def _milder(train: TrainSettings) -> Iterator[tuple[str, dict[str, Any]]]:
    """Ways to take less memory, the mildest first."""
    yield "a smaller batch with more accumulation", {}
    if not train.gradient_checkpointing:
        yield "activation checkpointing", {"gradient_checkpointing": True}
    if train.method == "full":
        yield "LoRA instead of full", {"method": "lora"}
    if train.method != "qlora":
        yield "QLoRA", {"method": "qlora"}
        yield (
            "QLoRA and activation checkpointing",
            {"method": "qlora", "gradient_checkpointing": True},
        )
    for length in _LENGTHS:
        if length < train.max_length:
            yield (
                f"QLoRA, checkpointing, and examples up to {length} tokens",
                {"method": "qlora", "gradient_checkpointing": True, "max_length": length},
            )
            break


def largest_batch(
    architecture: Architecture, train: TrainSettings, free: int, device: DeviceKind
) -> int | None:
    """The largest batch up to the configured one that fits and divides the global batch; None
    when not even one example fits."""
    whole = train.batch_size * train.accumulation
    each = train.processes * train.machines if train.global_batch == "keep" else 1
    for batch in range(train.batch_size, 0, -1):
        if whole % (batch * each):
            continue  # the global batch would be another, or could not be shared
        changed = train.model_copy(update={"batch_size": batch})
        if estimate(architecture, changed, device=device).total <= free:
            return batch
    return None
