"""Hugging Face folder to GGUF, without torch: one tensor in memory at a time."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import gguf
import numpy as np

from haruon_tui import artifacts
from haruon_tui.errors import StageError
from haruon_tui.gguf.model_config import Config, read_config
from haruon_tui.gguf.vocabulary import Vocabulary, read_vocabulary
from haruon_tui.gguf.weights import Weights

if TYPE_CHECKING:
    Array = np.ndarray[Any, Any]

DataType = Literal["F16", "F32"]
Progress = Callable[[int, int], None]

_STORED: dict[DataType, tuple[gguf.GGMLQuantizationType, gguf.LlamaFileType, str]] = {
    "F16": (gguf.GGMLQuantizationType.F16, gguf.LlamaFileType.MOSTLY_F16, "<f2"),
    "F32": (gguf.GGMLQuantizationType.F32, gguf.LlamaFileType.ALL_F32, "<f4"),
}
_F16_LARGEST = 65504


@dataclass(frozen=True)
class Conversion:
    """What was written."""

    parameters: int
    tensors: int
    bytes: int
    notes: list[str]


@dataclass(frozen=True)
class _Tensor:
    source: str
    name: str
    shape: tuple[int, ...]
    dtype: DataType

    @property
    def bytes(self) -> int:
        return math.prod(self.shape) * np.dtype(_STORED[self.dtype][2]).itemsize


def convert(
    model_dir: Path,
    out: Path,
    *,
    dtype: DataType = "F16",
    name: str | None = None,
    progress: Progress | None = None,
) -> Conversion:
    """Write the Qwen2 in `model_dir` to the GGUF file `out`, which appears whole or not at all.

    Matrices are stored as `dtype`, vectors (norms, biases) as F32. `name` becomes general.name.
    `progress` is called with the tensors written and their number, and may raise to stop.
    Raises StageError, before anything is written, for what cannot be converted faithfully or
    does not fit on the disk; while writing, for values that `dtype` cannot hold.
    """
    config = read_config(model_dir)
    vocabulary = read_vocabulary(model_dir, config.vocabulary)
    weights = Weights(model_dir, config)
    tensors = _plan(weights, config, dtype)
    _require_space(out, sum(tensor.bytes for tensor in tensors))
    parameters = sum(math.prod(tensor.shape) for tensor in tensors)
    with artifacts.replacing(out) as temporary:
        writer = gguf.GGUFWriter(temporary, "qwen2")
        try:
            _add_metadata(writer, config, dtype, name or _name(config, model_dir), parameters)
            _add_vocabulary(writer, vocabulary)
            for tensor in tensors:
                raw_type, _, numpy_type = _STORED[tensor.dtype]
                writer.add_tensor_info(
                    tensor.name, tensor.shape, np.dtype(numpy_type), tensor.bytes, raw_type
                )
            writer.write_header_to_file()
            writer.write_kv_data_to_file()
            writer.write_ti_data_to_file()
            for done, tensor in enumerate(tensors, start=1):
                writer.write_tensor_data(_values(weights, tensor))
                if progress:
                    progress(done, len(tensors))
        finally:
            writer.close()
    return Conversion(parameters, len(tensors), out.stat().st_size, vocabulary.notes)


def _plan(weights: Weights, config: Config, dtype: DataType) -> list[_Tensor]:
    """The tensors in the order of the file: embeddings, then layer by layer."""
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.QWEN2, config.layers)
    planned = []
    for source, shape in weights.shapes.items():
        name = names.get_name(source, try_suffixes=(".weight", ".bias"))
        if name is None:
            raise StageError(f"the gguf library has no name for the tensor {source}")
        planned.append(_Tensor(source, name, shape, dtype if len(shape) > 1 else "F32"))
    return planned


def _require_space(out: Path, needed: int) -> None:
    folder = next(parent for parent in out.absolute().parents if parent.exists())
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise StageError(
            f"the disk has {free / 1e6:,.0f} MB free, the file needs {needed / 1e6:,.0f} MB",
            where=str(out),
            do="free some space, or choose a workspace on another disk",
        )


def _name(config: Config, model_dir: Path) -> str:
    return Path(config.origin or model_dir.resolve()).name


def _add_metadata(
    writer: gguf.GGUFWriter, config: Config, dtype: DataType, name: str, parameters: int
) -> None:
    writer.add_type("model")
    writer.add_name(name)
    writer.add_size_label(gguf.size_label(parameters, parameters, 0, 0))
    writer.add_file_type(_STORED[dtype][1])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_block_count(config.layers)
    writer.add_context_length(config.context)
    writer.add_embedding_length(config.hidden)
    writer.add_feed_forward_length(config.feed_forward)
    writer.add_head_count(config.heads)
    writer.add_head_count_kv(config.kv_heads)
    writer.add_layer_norm_rms_eps(config.norm_epsilon)
    writer.add_rope_freq_base(config.rope_theta)
    writer.add_vocab_size(config.vocabulary)


def _add_vocabulary(writer: gguf.GGUFWriter, vocabulary: Vocabulary) -> None:
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(vocabulary.pre_tokenizer)
    writer.add_token_list(vocabulary.tokens)
    writer.add_token_types(vocabulary.types)
    writer.add_token_merges(vocabulary.merges)
    writer.add_eos_token_id(vocabulary.eos)
    writer.add_eot_token_id(vocabulary.eos)
    writer.add_bos_token_id(vocabulary.bos)
    writer.add_pad_token_id(vocabulary.pad)
    writer.add_add_bos_token(False)
    writer.add_add_eos_token(False)
    writer.add_chat_template(vocabulary.chat_template)


def _values(weights: Weights, tensor: _Tensor) -> Array:
    """The tensor as it is stored. Raises StageError for values that its type cannot hold."""
    stored: Array = np.empty(math.prod(tensor.shape), dtype=_STORED[tensor.dtype][2])
    start = 0
    for block in weights.blocks(tensor.source):
        if not np.isfinite(block).all():
            raise StageError(
                f"the tensor {tensor.source} holds NaN or infinity",
                do="the training diverged: use an earlier checkpoint or a lower learning rate",
            )
        largest = float(np.abs(block).max(initial=0.0))
        if tensor.dtype == "F16" and largest > _F16_LARGEST:
            raise StageError(
                f"the tensor {tensor.source} holds {largest:.0f}, and F16 ends at {_F16_LARGEST}",
                do="look at the training, weights this large are rare; F32 can hold them",
            )
        stored[start : start + len(block)] = block
        start += len(block)
    return stored.reshape(tensor.shape)
