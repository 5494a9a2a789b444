"""Hugging Face folder to GGUF, without torch: one tensor at a time, in blocks of mapped files."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gguf
import numpy as np

from haruon_tui import artifacts
from haruon_tui.errors import StageError
from haruon_tui.gguf import encoding, metadata
from haruon_tui.gguf.encoding import DataType
from haruon_tui.gguf.model_config import Config, read_config
from haruon_tui.gguf.provenance import Provenance, read_provenance
from haruon_tui.gguf.rotary import half_of_each_head, llama3_factors
from haruon_tui.gguf.vocabulary import Vocabulary, read_vocabulary
from haruon_tui.gguf.weights import Weights

if TYPE_CHECKING:
    Array = np.ndarray[Any, Any]

Progress = Callable[[int, int], None]

_BLOCK = 1 << 21
"""Numbers in a block: small enough for the cores' own caches, large enough for few calls."""

_ROPE_FACTORS = "rope_freqs.weight"
_ROTATED = (".self_attn.q_proj.weight", ".self_attn.k_proj.weight")


@dataclass(frozen=True)
class Conversion:
    """What was written."""

    parameters: int
    tensors: int
    bytes: int
    notes: list[str]
    """What a reader of the model's own files may not expect."""


@dataclass(frozen=True)
class _Tensor:
    """A tensor of the file; made of `source`, or holding `values`."""

    name: str
    shape: tuple[int, ...]
    dtype: DataType
    source: str = ""
    order: Array | None = None
    """The rows of the source in the order of the file; None where that is the same."""
    values: Array | None = None

    @property
    def bytes(self) -> int:
        return encoding.size(math.prod(self.shape), self.dtype)


def convert(
    model_dir: Path,
    out: Path,
    *,
    dtype: DataType = "F16",
    name: str | None = None,
    progress: Progress = lambda done, total: None,
) -> Conversion:
    """Write the model in `model_dir` to the GGUF file `out`, which appears whole or not at all.

    Matrices are stored as `dtype`, vectors (norms, biases) as F32. `name` becomes general.name.
    `progress` is called with the tensors written and their number, and may raise to stop.
    Raises StageError, before anything is written, for what cannot be converted faithfully or
    does not fit on the disk; while writing, for values that `dtype` cannot hold.
    """
    config = read_config(model_dir)
    vocabulary = read_vocabulary(model_dir, config)
    weights = Weights(model_dir, config)
    tensors = _plan(weights, config, dtype)
    _require_space(out, sum(tensor.bytes for tensor in tensors))
    parameters = sum(math.prod(tensor.shape) for tensor in tensors)
    origin = read_provenance(model_dir, name or Path(config.origin or model_dir.resolve()).name)
    notes = vocabulary.notes + _fallbacks(tensors, dtype)
    with artifacts.replacing(out) as temporary:
        start = _write_head(temporary, config, origin, dtype, vocabulary, tensors, parameters)
        with temporary.open("r+b") as stream:
            _write_tensors(stream.fileno(), start, weights, tensors, progress)
    return Conversion(parameters, len(tensors), out.stat().st_size, notes)


def _plan(weights: Weights, config: Config, dtype: DataType) -> list[_Tensor]:
    """The tensors in the order of the file."""
    family = config.family
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH[family.gguf.upper()], config.layers)
    planned = []
    if config.rope_scaling:
        factors = llama3_factors(config.rope_theta, config.head_size, config.rope_scaling)
        planned.append(_Tensor(_ROPE_FACTORS, factors.shape, "F32", values=factors[None]))
    for source, shape in weights.shapes.items():
        name = names.get_name(source, try_suffixes=(".weight", ".bias"))
        if name is None:
            raise StageError(f"the gguf library has no name for the tensor {source}")
        order = None
        if family.pairs_neighbours and source.endswith(_ROTATED):
            order = half_of_each_head(shape[0], config.head_size)
        planned.append(_Tensor(name, shape, _stored(shape, dtype), source, order))
    return planned


def _stored(shape: tuple[int, ...], dtype: DataType) -> DataType:
    if len(shape) == 1:
        return "F32"
    block, _ = gguf.GGML_QUANT_SIZES[encoding.GGUF_TYPES[dtype]]
    return dtype if shape[-1] % block == 0 else "F16"


def _fallbacks(tensors: list[_Tensor], dtype: DataType) -> list[str]:
    """Which matrices could not have the type asked for."""
    found = [t for t in tensors if len(t.shape) > 1 and t.dtype != dtype]
    return [
        f"{t.name}: {t.dtype} instead of {dtype} because {t.shape[-1]} is no multiple of 32"
        for t in found
    ]


def _require_space(out: Path, needed: int) -> None:
    folder = next(parent for parent in out.absolute().parents if parent.exists())
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise StageError(
            f"the disk has {free / 1e6:,.0f} MB free, the file needs {needed / 1e6:,.0f} MB",
            where=str(out),
            do="free some space, or choose a workspace on another disk",
        )


def _write_head(
    path: Path,
    config: Config,
    origin: Provenance,
    dtype: DataType,
    vocabulary: Vocabulary,
    tensors: list[_Tensor],
    parameters: int,
) -> int:
    """All but the data of the tensors; returns where that begins."""
    writer = gguf.GGUFWriter(path, config.family.gguf)
    try:
        metadata.add_general(writer, origin, dtype, parameters)
        metadata.add_architecture(writer, config)
        metadata.add_vocabulary(writer, vocabulary)
        for tensor in tensors:
            kind = encoding.GGUF_TYPES[tensor.dtype]
            writer.add_tensor_info(tensor.name, tensor.shape, np.dtype("f4"), tensor.bytes, kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
    finally:
        writer.close()
    return _padded(path.stat().st_size)


def _padded(size: int) -> int:
    """The next multiple of GGUF's alignment."""
    return int(gguf.GGUFWriter.ggml_pad(size, gguf.GGUF_DEFAULT_ALIGNMENT))


def _write_tensors(
    file: int, start: int, weights: Weights, tensors: list[_Tensor], progress: Progress
) -> None:
    """Every block is encoded by whichever core is free and written to its own place."""
    from haruon_tui.hardware.processor import usable_cores

    os.truncate(file, start + sum(_padded(tensor.bytes) for tensor in tensors))
    with ThreadPoolExecutor(max(1, int(usable_cores()[0]))) as cores:
        for done, tensor in enumerate(tensors, start=1):
            rows = weights.rows(tensor.source) if tensor.values is None else tensor.values
            source = weights.dtype(tensor.source) if tensor.values is None else "F32"
            step, length = max(1, _BLOCK // rows.shape[1]), tensor.bytes // len(rows)
            for block in [
                cores.submit(
                    _write_block, file, start + first * length, rows, first, step, source, tensor
                )
                for first in range(0, len(rows), step)
            ]:
                block.result()
            start += _padded(tensor.bytes)
            progress(done, len(tensors))


def _write_block(
    file: int, place: int, rows: Array, first: int, count: int, source: str, tensor: _Tensor
) -> None:
    """Rows `first` to `first + count` of a tensor. Raises StageError for values that its type
    cannot hold, and OSError."""
    chosen = slice(first, first + count)
    block = rows[chosen] if tensor.order is None else rows[tensor.order[chosen]]
    try:
        encoded = encoding.encode(np.asarray(block), source, tensor.dtype)
    except encoding.NotRepresentable as error:
        raise _not_representable(tensor, encoding.decode(block, source)) from error
    left = memoryview(np.ascontiguousarray(encoded)).cast("B")
    while left:
        written = os.pwrite(file, left, place)
        left, place = left[written:], place + written


def _not_representable(tensor: _Tensor, values: Array) -> StageError:
    if not np.isfinite(values).all():
        return StageError(
            f"the tensor {tensor.source} holds NaN or infinity",
            do="the training diverged: use an earlier checkpoint or a lower learning rate",
        )
    largest = float(np.abs(values).max())
    return StageError(
        f"the tensor {tensor.source} holds {largest:.0f}, which {tensor.dtype} cannot: "
        + ("it ends at 65504" if tensor.dtype == "F16" else "it is out of range"),
        do="look at the training, weights this large are rare; F32 can hold them",
    )
