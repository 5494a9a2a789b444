"""What the configured recipe needs of a machine, computed from the base's architecture."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from haruon_tui.hardware.architecture import Architecture, architecture_of
from haruon_tui.hardware.memory_estimate import (
    DeviceKind,
    estimate,
    on_gpu,
    trained_parameters,
    what_fits,
)
from haruon_tui.hardware.needs import GIB
from haruon_tui.settings import Settings, TrainSettings

_GPU_SIZES = (80, 48, 40, 32, 24, 16, 12, 10, 8, 6, 4)
"""GiB of the cards that are sold."""

_LINEAR_BITS = {"Q4_0": 4.5, "Q4_1": 5.0, "Q4_K_M": 4.85, "Q5_K_M": 5.69, "Q8_0": 8.5}
"""Bits per weight of the linear layers: the blocks of ggml-common.h; the K mixtures keep half of
attn_v and ffn_down in Q6_K (llama_tensor_get_type in llama-quant.cpp)."""

_EMBEDDING_BITS = {"Q8_0": 8.5}
_EMBEDDING_BITS_ELSE = 6.5625
"""llama.cpp keeps an embedding that is also the output layer in Q6_K, in Q8_0 files in Q8_0."""


@dataclass(frozen=True)
class Fit:
    """Lines of haruon.toml with which the training takes `bytes`; `of_itself` where a training on
    a GPU takes them without being told."""

    settings: tuple[str, ...]
    bytes: int
    of_itself: bool


@dataclass(frozen=True)
class Training:
    """The peak that a training takes on a device, and what smaller ones would take."""

    architecture: Architecture
    train: TrainSettings

    @property
    def words(self) -> str:
        """`lora, batch 8 x 2048 tokens`."""
        train = self.train
        saved = " with activation checkpointing" if train.gradient_checkpointing else ""
        return f"{train.method}{saved}, batch {train.batch_size} x {train.max_length} tokens"

    def on_gpu(self, capability: tuple[int, int] | None) -> Training:
        """As a GPU of that compute capability computes it."""
        return replace(self, train=on_gpu(self.train, capability))

    def bytes(self, device: DeviceKind = "cuda") -> int:
        """By haruon_tui.hardware.memory_estimate."""
        return estimate(self.architecture, self.train, device=device).total

    def fit(self, room: int, device: DeviceKind = "cuda") -> Fit | None:
        """The mildest change that fits into `room` bytes; None when none does."""
        found = what_fits(self.architecture, self.train, room, device)
        if not found:
            return None
        mildest = found[0]
        of_itself = (
            device == "cuda"
            and self.train.on_out_of_memory == "smaller batches"
            and mildest.changes.keys() == {"train.batch_size", "train.accumulation"}
        )
        return Fit(setting_lines(mildest.changes), mildest.estimate.total, of_itself)

    def least(self) -> tuple[int, Fit] | None:
        """The smallest card in bytes on which a change fits that shortens no example, and that
        change; None when nothing helps."""
        for size in reversed(_GPU_SIZES):
            fit = self.fit(size * GIB)
            if fit and not any(line.startswith("train.max_length") for line in fit.settings):
                return size * GIB, fit
        return None


@dataclass(frozen=True)
class Writes:
    """Bytes that a run of every stage writes, by what: in the workspace and in the model cache.
    Where both are on one disk the workspace's model is a link to the cache's."""

    workspace: Mapping[str, int] = field(default_factory=dict)
    cache: int = 0

    def at_workspace(self) -> dict[str, int]:
        """What the workspace's disk must take in: the model too, wherever its cache is."""
        base = {"base model": self.cache} if self.cache else {}
        return {**base, **self.workspace}


def training_of(settings: Settings) -> Training | None:
    """None when the base's architecture is not known here."""
    architecture = architecture_of(settings)
    return Training(architecture, settings.train) if architecture else None


def writes_of(settings: Settings, *, fetched: bool) -> Writes | None:
    """What each stage leaves on the disk; `fetched` when the base is there already. None when the
    base's architecture is not known here."""
    architecture = architecture_of(settings)
    if architecture is None:
        return None
    parameters, train = architecture.parameters, settings.train
    trained = trained_parameters(architecture, train)
    linear = parameters - architecture.embedding_parameters
    quantized = sum(
        linear * _LINEAR_BITS[name]
        + architecture.embedding_parameters * _EMBEDDING_BITS.get(name, _EMBEDDING_BITS_ELSE)
        for name in settings.gguf.quantize
    )
    workspace = {
        # fp32 weights and AdamW's two moments; the best one is kept besides the newest.
        "checkpoints": 12 * trained * (train.keep_checkpoints + 1),
        "adapter": 4 * trained,
        "merged model": 2 * parameters,
        "F16 GGUF": 2 * parameters,
        "quantized files": round(quantized / 8),
    }
    return Writes(workspace, 0 if fetched else 2 * parameters)


def setting_lines(changes: Mapping[str, Any]) -> tuple[str, ...]:
    """Keys and values as lines of haruon.toml; JSON's scalars and lists are TOML's too."""
    return tuple(f"{key} = {json.dumps(value)}" for key, value in changes.items())
