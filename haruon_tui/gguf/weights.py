"""The weights of a Hugging Face model folder, without torch."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from haruon_tui.errors import StageError
from haruon_tui.gguf.model_config import Config, read_json

if TYPE_CHECKING:
    from gguf.utility import LocalTensor

    Raw = np.ndarray[Any, Any]

BYTES = {"F32": 4, "F16": 2, "BF16": 2}
"""The data types that are read, and the bytes of a number."""

_NUMPY = {"F32": "<f4", "F16": "<u2", "BF16": "<u2"}


class Weights:
    """The weights of a model folder, checked against its config. The files are mapped, so that
    what is looked at is all that is read."""

    def __init__(self, folder: Path, config: Config) -> None:
        """Read the headers of all safetensors files.

        Raises StageError for a file that is missing, cut or lies about itself, and for a tensor
        that is missing, unknown, there twice, of another shape than the config says, or of a
        data type other than F32, F16 and BF16.
        """
        self._found: dict[str, LocalTensor] = {}
        for file in _weight_files(folder):
            for name, tensor in _tensors_of(file).items():
                if name in self._found:
                    raise StageError(
                        f"the tensor {name} is also in {self._found[name].data_range.filename}",
                        where=str(file),
                        do="copy the model again, into an empty folder",
                    )
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
                expected=f"the tensors of a {config.family.architecture} with "
                f"{config.layers} layers",
                do="merge the adapter, or save the model again together with its config",
            )

    def dtype(self, name: str) -> str:
        """F32, F16 or BF16."""
        return str(self._found[name].dtype)

    def rows(self, name: str) -> Raw:
        """The stored numbers [rows, columns]; those of 16 bits as unsigned integers. A vector is
        one row."""
        tensor = self._found[name]
        raw: Raw = tensor.mmap_bytes().view(_NUMPY[tensor.dtype])
        return raw.reshape(-1, self.shapes[name][-1])

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


def _weight_files(folder: Path) -> list[Path]:
    single, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    if single.exists():
        return [single]
    if index.exists():
        return _parts(index)
    others = sorted(path.name for path in folder.glob("*.bin"))
    raise StageError(
        "there are no weights" + (f" but {others[0]}" if others else ""),
        where=str(folder),
        expected="model.safetensors, or model.safetensors.index.json and its parts",
        do="save the model with save_pretrained of transformers 5, which writes safetensors",
    )


def _parts(index: Path) -> list[Path]:
    listed = read_json(index).get("weight_map")
    names = set(listed.values()) if isinstance(listed, dict) else set()
    if not names or not all(isinstance(name, str) and Path(name).name == name for name in names):
        raise StageError(
            "does not name the parts of the weights",
            where=str(index),
            expected="weight_map, with the name of a file beside it for every tensor",
            do="copy the model again",
        )
    files = [index.with_name(name) for name in sorted(names)]
    for file in files:
        if not file.exists():
            raise StageError(
                "this part of the weights is missing",
                where=str(file),
                expected=f"all {len(files)} files that {index.name} names",
                do="download or copy the model again",
            )
    return files


def _tensors_of(file: Path) -> dict[str, LocalTensor]:
    """Where every tensor lies. The reference library judges the file first: it refuses a header
    whose offsets overlap, leave gaps, or do not fit the shapes."""
    from gguf.utility import SafetensorsLocal
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="numpy"):
            pass
        tensors: dict[str, LocalTensor] = SafetensorsLocal(file).tensors
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, MemoryError) as error:
        raise StageError(
            f"is no whole safetensors file: {error}", where=str(file), do="copy the model again"
        ) from error
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
    if tensor.dtype not in BYTES:
        raise StageError(
            f"the tensor {name} is stored as {tensor.dtype}",
            where=str(file),
            expected=", ".join(BYTES),
            do="save the model in one of these",
        )
    if tensor.shape != shape:
        raise StageError(
            f"the tensor {name} has the shape {list(tensor.shape)}",
            where=str(file),
            expected=f"{list(shape)}, as config.json has it",
        )
    if tensor.data_range.size != math.prod(shape) * BYTES[tensor.dtype]:
        raise StageError(f"the tensor {name} has {tensor.data_range.size} bytes", where=str(file))
