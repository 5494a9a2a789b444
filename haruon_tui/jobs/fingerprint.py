"""What makes two jobs the same work: the stage, its parameters, and the content of its inputs."""

from __future__ import annotations

import functools
import hashlib
import json
from pathlib import Path
from typing import Any, get_args

from haruon_tui import artifacts
from haruon_tui.errors import ConfigurationError
from haruon_tui.stage import INPUT, Params, Stage

PLANNED = "planned-"
"""A path below runs/planned-<fingerprint>/ stands for what a job yet to run will leave there."""


def input_fields(params: Params) -> dict[str, list[Path]]:
    """The paths in the fields marked as inputs, by field name. None and empty lists are left out.

    A field may be `InputPath`, `InputPath | None` or `list[InputPath]`.
    """
    found: dict[str, list[Path]] = {}
    for name, field in type(params).model_fields.items():
        if INPUT not in field.metadata and not _mentions_input(field.annotation):
            continue
        value = getattr(params, name)
        paths = value if isinstance(value, list) else [value]
        if present := [Path(path) for path in paths if path is not None]:
            found[name] = present
    return found


def _mentions_input(annotation: Any) -> bool:
    return INPUT in getattr(annotation, "__metadata__", ()) or any(
        _mentions_input(part) for part in get_args(annotation)
    )


def fingerprint(stage: Stage, params: Params, runs: Path) -> tuple[str, dict[str, str]]:
    """The fingerprint of a job and the digest of each of its inputs.

    Artefacts of this workspace's runs count by the fingerprint of the run that made them, so that
    a whole pipeline can be planned before any of it has run; other files by their content.
    Raises ConfigurationError for an input that is not there.
    """
    inputs = {
        f"{name}[{index}]" if len(paths) > 1 else name: _input_digest(path, runs)
        for name, paths in input_fields(params).items()
        for index, path in enumerate(paths)
    }
    rest = params.model_dump(mode="json", exclude=set(input_fields(params)))
    identity = {"stage": stage.name, "version": stage.version, "params": rest, "inputs": inputs}
    text = json.dumps(identity, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest(), inputs


def _input_digest(path: Path, runs: Path) -> str:
    if path.is_absolute() and path.is_relative_to(runs):
        run, *rest = path.relative_to(runs).parts
        if run.startswith(PLANNED):
            return f"run:{run.removeprefix(PLANNED)}/{'/'.join(rest)}"
        if made_by := _job_fingerprint(runs / run / "job.json"):
            return f"run:{made_by}/{'/'.join(rest)}"
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise ConfigurationError(  # a named pipe would wait without end
            "is a pipe or a device", where=str(path), expected="a file or a folder"
        )
    try:
        return "sha256:" + _content_digest(path, _stamp(path))
    except OSError as error:
        raise ConfigurationError(
            f"cannot be read: {error.strerror}", where=str(path), expected="an existing input"
        ) from error


@functools.lru_cache(maxsize=4096)
def _job_fingerprint(job_file: Path) -> str | None:
    try:
        return str(json.loads(job_file.read_bytes())["fingerprint"])
    except (OSError, ValueError, KeyError):
        return None


def _stamp(path: Path) -> tuple[tuple[str, int, int], ...]:
    """Name, size and time of every file: what is hashed once is not hashed again."""
    files = [path] if not path.is_dir() else sorted(p for p in path.rglob("*") if p.is_file())
    return tuple((str(f), f.stat().st_size, f.stat().st_mtime_ns) for f in files)


@functools.lru_cache(maxsize=256)
def _content_digest(path: Path, stamp: tuple[tuple[str, int, int], ...]) -> str:
    return artifacts.digest(path)
