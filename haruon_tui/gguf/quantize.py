"""One GGUF quantized by llama.cpp, in a process of its own that can be ended at any time."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable
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
    "Q4_K_M": 15,
    "Q5_K_M": 17,
}
"""llama_ftype of llama.h."""

_TENSOR = re.compile(r"\[\s*(\d+)/\s*(\d+)\]")
_TOO_NARROW = re.compile(
    r"warning: (\S+)\s+- ncols\s+(\d+) not divisible by\s+(\d+) \(required for type\s+(\w+)\)"
)
_FALLBACK = re.compile(r"-> falling back to\s+(\w+)")
_SIZE = re.compile(r"quant size\s+=\s+([\d.]+) MiB \(([\d.]+) BPW\)")
_MIB = 1 << 20


class Quantized(BaseModel):
    """What llama.cpp made."""

    model_config = ConfigDict(extra="forbid")

    bytes: int
    bits_per_weight: float
    seconds: float
    fallbacks: list[str]
    """Tensors that could not have the type asked for, and what they got."""


def quantize(
    source: Path,
    out: Path,
    file_type: Quantization,
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,
    stop_requested: Callable[[], bool] = lambda: False,
) -> Quantized:
    """Quantize the F16 or F32 GGUF `source` to `out`, which is no file anyone reads until this
    returns: call it with a temporary name.

    `progress` gets the number of the tensor at work and their number. Raises Stopped, within a
    fraction of a second of `stop_requested`, and StageError with llama.cpp's own words.
    """
    fallbacks: list[str] = []

    def on_event(event: dict[str, Any]) -> None:
        if "fallback" in event:
            fallbacks.append(event["fallback"])
        else:
            progress(*event["tensor"])

    started = time.monotonic()
    answer = isolated.call(
        f"{__name__}:work",
        {
            "source": str(source.absolute()),
            "out": str(out.absolute()),
            "type": file_type,
        },
        on_event=on_event,
        stop_requested=stop_requested,
    )
    return Quantized(
        bytes=out.stat().st_size,
        bits_per_weight=answer["bits_per_weight"],
        seconds=round(time.monotonic() - started, 3),
        fallbacks=fallbacks,
    )


def work(arguments: isolated.Arguments, emit: isolated.Emit) -> dict[str, Any]:
    """The process's side: a dry run for the size, then the work."""
    source, out = Path(arguments["source"]), Path(arguments["out"])
    file_type: Quantization = arguments["type"]
    needed, bits_per_weight = _call(source, out, file_type, lambda event: None, dry_run=True)
    free = shutil.disk_usage(out.parent).free
    if free < needed:
        raise StageError(
            f"the disk has {free / 1e6:,.0f} MB free, {file_type} needs {needed / 1e6:,.0f} MB",
            where=str(out.parent),
            do="free some space, or ask for fewer types ([gguf] quantize)",
        )
    _call(source, out, file_type, emit)
    return {"bits_per_weight": bits_per_weight}


def _call(
    source: Path, out: Path, file_type: Quantization, emit: isolated.Emit, *, dry_run: bool = False
) -> tuple[float, float]:
    """The bytes of the quantized tensors and their bits per weight."""
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
    code = llama_cpp.llama_model_quantize(
        os.fsencode(source), os.fsencode(out), ctypes.byref(params)
    )
    if code:
        full = shutil.disk_usage(out.parent).free < _MIB
        raise StageError(
            f"llama.cpp could not quantize it to {file_type}: "
            + ("no space left on the disk" if full else log.complaint()),
            where=str(source),
            expected="a whole F16 or F32 GGUF",
        )
    return reader.bytes, reader.bits_per_weight


class _LogReader:
    """Makes events of the lines that llama_model_quantize logs."""

    def __init__(self, emit: isolated.Emit) -> None:
        self._emit = emit
        self._narrow: re.Match[str] | None = None
        self.bytes = 0.0
        self.bits_per_weight = 0.0

    def read(self, line: str) -> None:
        if tensor := _TENSOR.match(line):
            self._emit({"tensor": [int(tensor[1]), int(tensor[2])]})
        elif narrow := _TOO_NARROW.match(line):
            self._narrow = narrow
        elif (fallback := _FALLBACK.match(line)) and self._narrow:
            name, columns, multiple, wanted = self._narrow.groups()
            self._emit(
                {
                    "fallback": f"{name} is {fallback[1]} instead of {wanted}: its {columns} "
                    f"columns are no multiple of {multiple}"
                }
            )
        elif size := _SIZE.search(line):
            self.bytes = float(size[1]) * _MIB
            self.bits_per_weight = float(size[2])
