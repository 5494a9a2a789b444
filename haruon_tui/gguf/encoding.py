"""Numbers of one stored type as those of another, bit for bit as llama.cpp's converter does."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Literal

import gguf
import numpy as np

if TYPE_CHECKING:
    Array = np.ndarray[Any, Any]

DataType = Literal["F32", "F16", "BF16", "Q8_0"]

GGUF_TYPES = {name: gguf.GGMLQuantizationType[name] for name in ("F32", "F16", "BF16", "Q8_0")}

_NOT_FINITE = {"F32": 0x7F800000, "F16": 0x7C00, "BF16": 0x7F80}
"""Where infinity and NaN begin among the bit patterns without a sign."""


class NotRepresentable(ValueError):
    """A number that the type cannot hold: infinity, NaN, or beyond its range."""


def size(count: int, kind: DataType) -> int:
    """The bytes of `count` numbers."""
    block, width = gguf.GGML_QUANT_SIZES[GGUF_TYPES[kind]]
    return int(count // block * width)


def encode(raw: Array, source: str, kind: DataType) -> Array:
    """The numbers of `raw`, as weights.Weights.rows gives them, in type `kind`.

    `source` is their type now: F32, F16 or BF16. Rounds to the nearest, ties to even. Raises
    NotRepresentable. The columns must be a multiple of 32 for Q8_0.
    """
    if kind == "Q8_0":
        values = raw if source == "F32" else _table(source, "F32")[raw].view(np.float32)
        _require_finite(values, "F32")
        quantized: Array = gguf.quants.quantize(values, gguf.GGMLQuantizationType.Q8_0)
        return quantized
    if source == kind:
        encoded = raw
    elif source == "F32":
        encoded = _narrow(raw, kind)
    else:
        encoded = np.take(_table(source, kind), raw)  # 65536 answers are all there are
    _require_finite(encoded, kind)
    return encoded


def decode(raw: Array, source: str) -> Array:
    """The numbers of `raw` in F32."""
    return raw if source == "F32" else np.take(_table(source, "F32"), raw).view(np.float32)


@cache
def _table(source: str, kind: DataType) -> Array:
    """What each of the 65536 numbers of a 16-bit type is in another, as bits."""
    every: Array = np.arange(1 << 16, dtype=np.uint16)
    values: Array = (
        (every.astype(np.uint32) << 16).view(np.float32)
        if source == "BF16"
        else every.view(np.float16).astype(np.float32)
    )
    return values.view(np.uint32) if kind == "F32" else _narrow(values, kind)


def _narrow(values: Array, kind: DataType) -> Array:
    """F32 as the bits of a 16-bit type."""
    if kind == "BF16":
        stored: Array = gguf.quants.quantize(values, gguf.GGMLQuantizationType.BF16)
        return stored.view(np.uint16)
    with np.errstate(over="ignore", invalid="ignore"):  # asked for afterwards
        return values.astype(np.float16).view(np.uint16)


def _require_finite(numbers: Array, kind: str) -> None:
    """Two maxima are all it takes: one finds what is positive, the other what is negative."""
    unsigned: Array = numbers.view(np.uint32 if kind == "F32" else np.uint16)
    signed: Array = unsigned.view(np.int32 if kind == "F32" else np.int16)
    first = _NOT_FINITE[kind]
    sign = 1 << (unsigned.itemsize * 8 - 1)
    if numbers.size and (int(signed.max()) >= first or int(unsigned.max()) >= first + sign):
        raise NotRepresentable
