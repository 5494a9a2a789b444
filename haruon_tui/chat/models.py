"""What can be talked to: GGUF files and endpoints, their names, and the memory they take."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from haruon_tui.chat.remote import Endpoint
from haruon_tui.errors import ConfigurationError
from haruon_tui.hardware.memory_plan import available_memory

Model = Path | Endpoint

_MAGIC = b"GGUF"
_SMALL_MODEL_BYTES = 64 << 20

_WORKER_BYTES = 90 << 20
"""What a worker takes beside the file: the interpreter and llama.cpp's buffers, measured."""
_CONTEXT_SHARE = 0.15
"""Context and buffers of a 1.5B model at 2,048 tokens take about this share of its Q4_K_M."""
_SPARE_BYTES = 256 << 20


def parse(text: str) -> Model:
    """A path or an address as it was typed: `http…/v1`, with ` NAME` after it where the server
    has several models. Raises ConfigurationError for a path that is no GGUF file."""
    typed = text.strip()
    if typed.startswith(("http://", "https://")):
        url, _, name = typed.partition(" ")
        return Endpoint(url, name.strip())
    path = Path(typed).expanduser().absolute()
    check_gguf(path)
    return path


def check_gguf(path: Path) -> None:
    """Raise ConfigurationError unless the file begins as a GGUF file does. Touches the disk."""
    try:
        with path.open("rb") as file:
            start = file.read(len(_MAGIC))
    except OSError as error:
        raise ConfigurationError(
            f"it cannot be read: {error.strerror}", where=str(path), expected="a GGUF file"
        ) from error
    if start != _MAGIC:
        raise ConfigurationError(
            "it is no GGUF file",
            where=str(path),
            expected="a file that begins with the letters GGUF",
            do="haruon gguf export makes one of a model folder",
        )


def files_in(folders: Sequence[Path]) -> list[Path]:
    """The GGUF files of these folders, in their order. Touches the disk."""
    return [
        path
        for folder in folders
        for path in sorted(folder.glob("*.gguf"))
        if not path.name.startswith(".")
    ]


def names_of(models: Sequence[Model]) -> list[str]:
    """What each is called; files of the same name also by the nearest folder that tells them
    apart."""
    names = []
    for model in models:
        if isinstance(model, Endpoint):
            names.append(f"{model.model or 'the model'} at {model.url}")
            continue
        same = [m for m in models if isinstance(m, Path) and m.name == model.name and m != model]
        folder = next(
            (
                parent.name
                for depth, parent in enumerate(model.parents)
                if all(_folder(other, depth) != parent.name for other in same)
            ),
            "",
        )
        names.append(f"{model.name} ({folder})" if same and folder else model.name)
    return names


def _folder(path: Path, depth: int) -> str:
    parents = path.parents
    return parents[depth].name if depth < len(parents) else ""


def check_memory(models: Sequence[Model]) -> None:
    """Raise ConfigurationError unless the files fit together into the memory that is free."""
    needed = sum(map(_memory, models))
    free, _ = available_memory()
    if needed and needed + _SPARE_BYTES > free:
        raise ConfigurationError(
            f"these models need {needed / 1e9:.1f} GB together, {free / 1e9:.1f} GB are free",
            expected=f"{_SPARE_BYTES / 1e9:.1f} GB to spare",
            do="take smaller quantizations or fewer models, or serve one elsewhere",
        )


def _memory(model: Model) -> int:
    """Bytes that a worker with this model takes; an endpoint takes none here."""
    if isinstance(model, Endpoint):
        return 0
    check_gguf(model)
    return int(model.stat().st_size * (1 + _CONTEXT_SHARE)) + _WORKER_BYTES


def shared_threads(model: Path, workers: int) -> int:
    """The CPU threads of one of `workers` models that answer at the same time: together no more
    than there are cores, as threads that wait for each other's core take many times as long."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    if model.stat().st_size < _SMALL_MODEL_BYTES:
        return 1
    return max(1, (cores or 1) // workers)
