"""One GGUF quantized by llama.cpp, in a process of its own that can be ended at any time."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from haruon_tui.errors import StageError
from haruon_tui.gguf import isolated
from haruon_tui.settings import Quantization

FILE_TYPES: dict[Quantization, int] = {
    "Q4_0": 2,
    "Q4_1": 3,
    "Q8_0": 7,
    "Q4_K_S": 14,
    "Q4_K_M": 15,
    "Q5_K_M": 17,
    "Q6_K": 18,
    "IQ4_XS": 30,
}
"""llama_ftype of llama.h."""

_TENSOR = re.compile(r"\[\s*(\d+)/\s*(\d+)\]\s+(\S+)\s+-.* type = +(\w+),")
_NEW_TYPE = re.compile(r"size = .* MiB -> .* MiB \((\w+)\)")
_TOO_NARROW = re.compile(
    r"warning: (\S+)\s+- ncols\s+(\d+) not divisible by\s+(\d+) \(required for type\s+(\w+)\)"
)
_FALLBACK = re.compile(r"-> falling back to\s+(\w+)")
_UNQUANTIZED = ("F16", "BF16", "F32")
_LAYER = re.compile(r"blk\.\d+\.")
_MIB = 1 << 20


class Planned(BaseModel):
    """What a dry run says of a file that is not yet made."""

    model_config = ConfigDict(extra="forbid")

    type: Quantization
    bytes: int
    """The exact size of the file."""
    bits_per_weight: float
    fallbacks: list[str]
    """Tensors that cannot have the type asked for, and what they get."""


class Quantized(BaseModel):
    """What llama.cpp made."""

    model_config = ConfigDict(extra="forbid")

    bytes: int
    bits_per_weight: float
    seconds: float
    fallbacks: list[str]


def plan(
    source: Path,
    types: Sequence[Quantization],
    *,
    stop_requested: Callable[[], bool] = lambda: False,
) -> list[Planned]:
    """The files that `types` would make of `source`, by dry runs of llama.cpp; writes nothing.

    Raises StageError with llama.cpp's own words, and Stopped.
    """
    answer = isolated.call(
        f"{__name__}:work",
        {"source": str(source.absolute()), "types": list(types)},
        stop_requested=stop_requested,
    )
    return [Planned.model_validate(entry) for entry in answer["planned"]]


def quantize(
    source: Path,
    out: Path,
    file_type: Quantization,
    *,
    importance: Path | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    stop_requested: Callable[[], bool] = lambda: False,
) -> Quantized:
    """Quantize the F16, BF16 or F32 GGUF `source` to `out`, which is no file anyone reads until
    this returns: call it with a temporary name.

    `importance` is a file of importance.measure. `progress` gets the number of the tensor at work
    and their number. Raises Stopped, within a fraction of a second of `stop_requested`, and
    StageError with llama.cpp's own words.
    """
    started = time.monotonic()
    answer = isolated.call(
        f"{__name__}:work",
        {
            "source": str(source.absolute()),
            "types": [file_type],
            "out": str(out.absolute()),
            "importance": str(importance.absolute()) if importance else None,
        },
        on_event=lambda event: progress(*event["tensor"]),
        stop_requested=stop_requested,
    )
    (planned,) = answer["planned"]
    return Quantized(
        bytes=out.stat().st_size,
        bits_per_weight=planned["bits_per_weight"],
        seconds=round(time.monotonic() - started, 3),
        fallbacks=planned["fallbacks"],
    )


def work(arguments: isolated.Arguments, emit: isolated.Emit) -> dict[str, Any]:
    """The process's side: a dry run for the sizes, then the work, if it is wanted."""
    source = Path(arguments["source"])
    planned = [_planned(source, file_type) for file_type in arguments["types"]]
    if "out" in arguments:
        out = Path(arguments["out"])
        _require_space(out, planned[0])
        _call(source, out, planned[0].type, emit, importance=arguments["importance"])
    return {"planned": [entry.model_dump() for entry in planned]}


def _planned(source: Path, file_type: Quantization) -> Planned:
    """The size is that of the head of the source, whose keys llama.cpp keeps, and of every tensor
    in its new type, padded to the alignment."""
    import gguf

    log = _call(source, Path(os.devnull), file_type, lambda event: None, dry_run=True)
    reader = gguf.GGUFReader(source)
    size, data, count = reader.data_offset, 0, 0
    for tensor in reader.tensors:
        if tensor.tensor_type.name not in _UNQUANTIZED:
            raise StageError(
                f"the tensor {tensor.name} is {tensor.tensor_type.name} already",
                where=str(source),
                expected=f"a GGUF in {', '.join(_UNQUANTIZED)}",
                do="quantize the file that haruon gguf convert makes: twice rounded is worse",
            )
        block, width = gguf.GGML_QUANT_SIZES[
            gguf.GGMLQuantizationType[log.types[str(tensor.name)].upper()]
        ]
        bytes_ = int(tensor.n_elements) // block * width
        size += int(gguf.GGUFWriter.ggml_pad(bytes_, reader.alignment))
        data, count = data + bytes_, count + int(tensor.n_elements)
    return Planned(
        type=file_type,
        bytes=size,
        bits_per_weight=round(data * 8 / count, 4),
        fallbacks=log.fallbacks(),
    )


def _require_space(out: Path, planned: Planned) -> None:
    free = shutil.disk_usage(out.parent).free
    if free < planned.bytes:
        raise StageError(
            f"the disk has {free / 1e6:,.0f} MB free, {planned.type} needs "
            f"{planned.bytes / 1e6:,.0f} MB",
            where=str(out.parent),
            do="free some space, or ask for fewer types ([gguf] quantize)",
        )


def _call(
    source: Path,
    out: Path,
    file_type: Quantization,
    emit: isolated.Emit,
    *,
    dry_run: bool = False,
    importance: str | None = None,
) -> _LogReader:
    import ctypes

    import llama_cpp

    from haruon_tui.gguf.native import Log, usable_cores

    reader = _LogReader(emit)
    log = Log(reader.read)
    llama_cpp.llama_backend_init()
    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype = FILE_TYPES[file_type]
    params.nthread = usable_cores()
    params.dry_run = dry_run
    if importance:
        from haruon_tui.gguf.importance import as_llama_cpp_takes_it

        params.imatrix = as_llama_cpp_takes_it(Path(importance))
    code = llama_cpp.llama_model_quantize(
        os.fsencode(source), os.fsencode(out), ctypes.byref(params)
    )
    if code:
        full = not dry_run and shutil.disk_usage(out.parent).free < _MIB
        raise StageError(
            f"llama.cpp could not quantize it to {file_type}: "
            + ("no space left on the disk" if full else log.complaint()),
            where=str(source),
            expected=f"a whole GGUF in {', '.join(_UNQUANTIZED)}",
        )
    return reader


class _LogReader:
    """What llama_model_quantize logs: the tensor at work, their types, what falls back."""

    def __init__(self, emit: isolated.Emit) -> None:
        self._emit = emit
        self._narrow: re.Match[str] | None = None
        self._tensor = ""
        self._fallbacks: dict[str, int] = {}
        self.types: dict[str, str] = {}
        """The type of each tensor in the new file, as a dry run tells it."""

    def read(self, line: str) -> None:
        if tensor := _TENSOR.match(line):
            number, total, self._tensor, kind = tensor.groups()
            self.types[self._tensor] = kind
            self._emit({"tensor": [int(number), int(total)]})
        elif new := _NEW_TYPE.match(line):
            self.types[self._tensor] = new[1]
        elif narrow := _TOO_NARROW.match(line):
            self._narrow = narrow
        elif (fallback := _FALLBACK.match(line)) and self._narrow:
            name, columns, multiple, wanted = self._narrow.groups()
            kind = _LAYER.sub("", name).removesuffix(".weight")
            text = (
                f"{kind}: {fallback[1].upper()} instead of {wanted.upper()} because {columns} is "
                f"no multiple of {multiple}"
            )
            self._fallbacks[text] = self._fallbacks.get(text, 0) + 1

    def fallbacks(self) -> list[str]:
        """One text for all layers that it holds for."""
        return [
            text + (f", in {count} layers" if count > 1 else "")
            for text, count in self._fallbacks.items()
        ]
