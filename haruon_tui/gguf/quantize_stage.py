"""The stage `quantize`: the F16 GGUF as smaller files, one per type."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ConfigDict

from haruon_tui import artifacts, stage
from haruon_tui.errors import ConfigurationError
from haruon_tui.gguf.convert_stage import F16_FILE
from haruon_tui.gguf.quantize import Quantized, plan, quantize
from haruon_tui.jobs.context import read_manifest
from haruon_tui.settings import Quantization

if TYPE_CHECKING:
    from haruon_tui.jobs.context import JobContext
    from haruon_tui.settings import Settings


class Params(stage.Params):
    source: stage.InputPath
    types: list[Quantization]
    importance_tokens: int = 0
    """How many tokens of `text` show which columns of a weight matter; 0 is none."""
    model: stage.InputPath | None = None
    """The Hugging Face model that reads them."""
    text: stage.InputPath | None = None


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
    tokens = settings.gguf.importance_tokens
    return Params(
        source=inputs.artifact("convert", F16_FILE),
        types=list(settings.gguf.quantize),
        importance_tokens=tokens,
        model=inputs.artifact("merge", "model") if tokens else None,
        text=inputs.artifact("dataset", "train.jsonl") if tokens else None,
    )


def file_name(file_type: Quantization) -> str:
    return f"model.{file_type}.gguf"


def run(params: Params, job: JobContext) -> Result:
    """Tell the size of every file, then make one after the other. A file finished by an earlier
    attempt is kept.

    Leaves model.<TYPE>.gguf. Raises StageError with llama.cpp's own words, and Stopped within a
    fraction of a second, even in the middle of a file.
    """
    types = list(dict.fromkeys(params.types))
    for planned in plan(params.source, types, stop_requested=lambda: job.stop_requested):
        job.log(
            f"{planned.type} will be {planned.bytes:,} bytes "
            f"({planned.bits_per_weight:.2f} bits per weight)"
        )
        for fallback in planned.fallbacks:
            job.log(f"{planned.type}: {fallback}", "warning")
    importance = _importance(params, job) if params.importance_tokens else None
    files = []
    for file_type in types:
        job.raise_if_stopped()
        if kept := _finished(file_type, job):
            job.log(f"{file_type} is there already")
            files.append(kept)
        else:
            files.append(_make(file_type, params, job, importance))
    smallest = min(files, key=lambda made: made.bytes)
    return Result(
        summary=f"{len(files)} files, the smallest {smallest.type} with "
        f"{smallest.bytes / 1e6:,.1f} MB ({smallest.bits_per_weight:.2f} bits per weight)",
        files=files,
    )


def _importance(params: Params, job: JobContext) -> Path:
    """The importance matrix, measured once for all types and attempts."""
    from haruon_tui.gguf.importance import measure

    path = job.scratch / "importance.npz"
    if path.exists():
        return path
    assert params.model
    assert params.text

    def read(done: int, total: int) -> None:
        job.raise_if_stopped()
        job.progress(done, total, phase="importance of columns", unit="tokens")

    with artifacts.replacing(path) as temporary:
        tokens = measure(
            params.model, _chats(params.text), temporary, params.importance_tokens, progress=read
        )
    job.log(f"the importance of columns was measured on {tokens:,} tokens of the training data")
    return path


def _chats(file: Path) -> Iterator[list[dict[str, str]]]:
    from haruon_tui.dataset import records

    for line in records.read(file):
        if isinstance(line, records.Line):
            yield line.record["messages"]


def _make(
    file_type: Quantization, params: Params, job: JobContext, importance: Path | None
) -> QuantizedFile:
    name = file_name(file_type)
    record: dict[str, Any] = {}
    with job.artifact(name, quantized=record) as temporary:
        made = quantize(
            params.source,
            temporary,
            file_type,
            importance=importance,
            progress=lambda done, total: job.progress(
                done, total, phase=file_type, unit="tensors"
            ),
            stop_requested=lambda: job.stop_requested,
        )
        file = QuantizedFile(type=file_type, file=name, **made.model_dump())
        record.update(file.model_dump())
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
