"""The weights of a Hugging Face model folder, without torch."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from haruon_tui.errors import StageError
from haruon_tui.gguf.model_config import ARCHITECTURE, Config, read_json

if TYPE_CHECKING:
    from gguf.utility import LocalTensor

    Floats = np.ndarray[Any, np.dtype[np.float32]]

_BYTES = {"F32": 4, "F16": 2, "BF16": 2}
_BLOCK_BYTES = 64 << 20


class Weights:
    """The weights of a model folder, checked against its config; read one block at a time."""

    def __init__(self, folder: Path, config: Config) -> None:
        """Read the headers of all safetensors files.

        Raises StageError for a missing or cut file, and for a tensor that is missing, unknown,
        of another shape than the config says, or of a data type other than F32, F16 and BF16.
        """
        self._found: dict[str, LocalTensor] = {}
        for file in _weight_files(folder):
            for name, tensor in _tensors_of(file).items():
                self._found[name] = tensor
        self.shapes = config.tensors()
        self._drop_tied_head(config, folder)
        for name, shape in self.shapes.items():
            _check_tensor(name, self._found.get(name), shape, folder)
        if unknown := sorted(set(self._found) - set(self.shapes)):
            raise StageError(
                f"config.json knows nothing of the tensor {unknown[0]}"
                + (f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""),
                where=str(self._found[unknown[0]].data_range.filename),
                expected=f"the tensors of a {ARCHITECTURE} with {config.layers} layers",
                do="merge the adapter, or save the model again together with its config",
            )

    def _drop_tied_head(self, config: Config, folder: Path) -> None:
        """Leave out a second copy of tied embeddings; refuse one that differs."""
        head = self._found.get("lm_head.weight")
        embeddings = self._found.get("model.embed_tokens.weight")
        if not config.tied or head is None or embeddings is None:
            return
        if head.dtype != embeddings.dtype or not np.array_equal(
            head.mmap_bytes(), embeddings.mmap_bytes()
        ):
            raise StageError(
                "tie_word_embeddings is true, but lm_head.weight differs from "
                "model.embed_tokens.weight",
                where=str(folder / "config.json"),
                do="set tie_word_embeddings to false, or merge with tied embeddings",
            )
        del self._found["lm_head.weight"]

    def blocks(self, name: str) -> Iterator[Floats]:
        """The values of a tensor in F32, flat, in blocks of at most 64 MiB, in order."""
        tensor = self._found[name]
        raw = tensor.mmap_bytes()
        width = _BYTES[tensor.dtype]
        step = _BLOCK_BYTES // 4 * width
        for start in range(0, len(raw), step):
            yield _as_float32(np.asarray(raw[start : start + step]), tensor.dtype)


def _as_float32(raw: np.ndarray[Any, Any], dtype: str) -> Floats:
    values: Floats
    if dtype == "BF16":  # the upper half of an F32
        values = (raw.view("<u2").astype(np.uint32) << 16).view(np.float32)
    else:
        values = raw.view("<f4" if dtype == "F32" else "<f2").astype(np.float32, copy=False)
    return values


def _weight_files(folder: Path) -> list[Path]:
    single, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    if single.exists():
        return [single]
    if index.exists():
        names = sorted(set(read_json(index).get("weight_map", {}).values()))
        files = [folder / name for name in names]
        for file in files:
            if not file.exists():
                raise StageError(
                    "this part of the weights is missing",
                    where=str(file),
                    expected=f"all {len(files)} files that {index.name} names",
                    do="download or copy the model again",
                )
        return files
    others = sorted(path.name for path in folder.glob("*.bin"))
    raise StageError(
        "there are no weights" + (f" but {others[0]}" if others else ""),
        where=str(folder),
        expected="model.safetensors, or model.safetensors.index.json and its parts",
        do="save the model with save_pretrained of transformers 5, which writes safetensors",
    )


def _tensors_of(file: Path) -> dict[str, LocalTensor]:
    from gguf.utility import SafetensorsLocal

    try:
        tensors: dict[str, LocalTensor] = SafetensorsLocal(file).tensors
    except (ValueError, KeyError, TypeError, MemoryError, OverflowError) as error:
        raise StageError(
            f"is no whole safetensors file: {error}", where=str(file), do="copy the model again"
        ) from error
    end = max((t.data_range.offset + t.data_range.size for t in tensors.values()), default=0)
    if end > (size := file.stat().st_size):
        raise StageError(
            f"is cut short: {size:,} bytes of {end:,}",
            where=str(file),
            do="copy the model again",
        )
    return tensors


def _check_tensor(
    name: str, tensor: LocalTensor | None, shape: tuple[int, ...], folder: Path
) -> None:
    if tensor is None:
        raise StageError(
            f"the tensor {name} is missing",
            where=str(folder),
            expected=f"shape {list(shape)}, as config.json has it",
        )
    file = tensor.data_range.filename
    if tensor.dtype not in _BYTES:
        raise StageError(
            f"the tensor {name} is stored as {tensor.dtype}",
            where=str(file),
            expected=", ".join(_BYTES),
            do="save the model in one of these",
        )
    if tensor.shape != shape:
        raise StageError(
            f"the tensor {name} has the shape {list(tensor.shape)}",
            where=str(file),
            expected=f"{list(shape)}, as config.json has it",
        )
    if tensor.data_range.size != math.prod(shape) * _BYTES[tensor.dtype]:
        raise StageError(f"the tensor {name} has {tensor.data_range.size} bytes", where=str(file))
