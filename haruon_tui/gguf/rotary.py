"""The rotary embedding as llama.cpp stores it where it differs from Hugging Face."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    Floats = np.ndarray[Any, np.dtype[np.float32]]
    Indices = np.ndarray[Any, np.dtype[np.int64]]


def half_of_each_head(rows: int, head_size: int) -> Indices:
    """The rows of a query or key projection, reordered for llama.cpp's Llama.

    Hugging Face rotates element i of a head together with element i + head_size / 2, llama.cpp
    neighbours: so rows 0, h/2, 1, h/2 + 1, and so on of each head.
    """
    numbered = np.arange(rows).reshape(-1, 2, head_size // 2)
    order: Indices = numbered.swapaxes(1, 2).reshape(-1)
    return order


def llama3_factors(theta: float, head_size: int, scaling: dict[str, float]) -> Floats:
    """What llama.cpp divides each of the head_size / 2 frequencies by.

    Llama 3.1's scaling, as transformers' _compute_llama3_parameters defines it: long wavelengths
    are stretched by `factor`, short ones are left, those between are interpolated. In F32, as
    llama.cpp's converter calculates.
    """
    one = np.float32(1)
    exponents = np.arange(0, head_size, 2, dtype=np.float32) / np.float32(head_size)
    frequencies = one / np.power(theta, exponents.astype(np.float64)).astype(np.float32)
    factor, low, high, context = (
        scaling[key]
        for key in (
            "factor",
            "low_freq_factor",
            "high_freq_factor",
            "original_max_position_embeddings",
        )
    )
    factors: Floats = np.empty_like(frequencies)
    for index, frequency in enumerate(frequencies):
        wavelength = np.float32(2 * math.pi) / frequency
        if wavelength < context / high:
            factors[index] = one
        elif wavelength > context / low:
            factors[index] = factor
        else:
            smooth = (np.float32(context) / wavelength - np.float32(low)) / np.float32(high - low)
            factors[index] = one / ((one - smooth) / np.float32(factor) + smooth)
    return factors
