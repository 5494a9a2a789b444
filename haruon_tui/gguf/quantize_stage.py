"""The stage `quantize`: the F16 GGUF as smaller files, one per type."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ConfigDict

from haruon_tui import artifacts, stage
from haruon_tui.errors import ConfigurationError
from haruon_tui.gguf.convert_stage import F16_FILE
from haruon_tui.gguf.quantize import Quantized, quantize
from haruon_tui.jobs.context import read_manifest
from haruon_tui.settings import Quantization

if TYPE_CHECKING:
    from haruon_tui.jobs.context import JobContext
    from haruon_tui.settings import Settings


class Params(stage.Params):
    source: stage.InputPath
    types: list[Quantization]


class QuantizedFile(Quantized):
    """One artefact of this stage."""

    model_config = ConfigDict(extra="forbid")

    type: Quantization
    file: str


class Result(stage.Result):
    files: list[QuantizedFile]


def configure(settings: Settings, inputs: stage.Inputs) -> Params:
    if not settings.gguf.quantize:
        raise ConfigurationError(
            "no type to quantize to is named",
            where="gguf.quantize",
            expected='a list such as ["Q4_K_M"]',
        )
    return Params(source=inputs.artifact("convert", F16_FILE), types=list(settings.gguf.quantize))


def file_name(file_type: Quantization) -> str:
    return f"model.{file_type}.gguf"


def run(params: Params, job: JobContext) -> Result:
    """Quantize to each type in turn. A file finished by an earlier attempt is kept.

    Leaves model.<TYPE>.gguf. Raises StageError with llama.cpp's own words, and Stopped within a
    fraction of a second, even in the middle of a file.
    """
    files = []
    for file_type in dict.fromkeys(params.types):
        job.raise_if_stopped()
        if kept := _finished(file_type, job):
            job.log(f"{file_type} is there already")
            files.append(kept)
        else:
            files.append(_make(file_type, params, job))
    smallest = min(files, key=lambda made: made.bytes)
    return Result(
        summary=f"{len(files)} files, the smallest {smallest.type} with "
        f"{smallest.bytes / 1e6:,.1f} MB ({smallest.bits_per_weight:.2f} bits per weight)",
        files=files,
    )


def _make(file_type: Quantization, params: Params, job: JobContext) -> QuantizedFile:
    name = file_name(file_type)
    record: dict[str, Any] = {}
    with job.artifact(name, quantized=record) as temporary:
        made = quantize(
            params.source,
            temporary,
            file_type,
            progress=lambda done, total: job.progress(
                done, total, phase=file_type, unit="tensors"
            ),
            stop_requested=lambda: job.stop_requested,
        )
        file = QuantizedFile(type=file_type, file=name, **made.model_dump())
        record.update(file.model_dump())
    for fallback in made.fallbacks:
        job.log(f"{file_type}: {fallback}", "warning")
    job.log(
        f"{name}: {made.bytes / 1e6:,.1f} MB, {made.bits_per_weight:.2f} bits per weight, "
        f"{made.seconds:.1f} s"
    )
    return file


def _finished(file_type: Quantization, job: JobContext) -> QuantizedFile | None:
    """What an earlier attempt of this job finished, if its file is still as it was left."""
    manifest = read_manifest(job.artifacts) or {}
    name = file_name(file_type)
    entry = manifest.get("artifacts", {}).get(name)
    path = job.artifacts / name
    if not entry or not path.exists() or artifacts.size_of(path) != entry["bytes"]:
        return None
    return QuantizedFile.model_validate(entry["quantized"])
