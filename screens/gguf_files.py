"""What the runs of a workspace have made of GGUF files, as it lies on the disk."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args

from haruon_tui.comparison import phone
from haruon_tui.comparison.rows import Row, read_rows
from haruon_tui.errors import ConfigurationError
from haruon_tui.jobs.store import Run
from haruon_tui.screens.reading import read_json
from haruon_tui.settings import Quantization

if TYPE_CHECKING:
    from pathlib import Path

_DAMAGED = (OSError, ValueError, KeyError, TypeError, AttributeError)
_MADE_BY_CONVERT = "F16"


@dataclass(frozen=True)
class Files:
    """A row per file, the lines of the proof of the conversion, and the phones whose limits
    count."""

    rows: tuple[Row, ...] = ()
    proof: tuple[dict[str, Any], ...] = ()
    phones: phone.Phones | None = None


def read_files(folders: dict[str, Path]) -> Files:
    """What the runs in these folders, by stage, have made so far. Never raises for a file that
    is missing or half made."""
    rows: dict[str, Row] = {}
    for stage in ("convert", "quantize"):
        if folder := folders.get(stage):
            rows |= {row["file"]: row for row in _made(folder / "artifacts")}
            if failed := _failed(stage, folder):
                rows[failed["file"]] = {**rows.get(failed["file"], {}), **failed}
    if folder := folders.get("compare"):
        for measured in read_rows(folder):
            rows[measured["file"]] = {**rows.get(measured["file"], {}), **measured}
    convert = folders.get("convert")
    proof = _proof(convert / "artifacts") if convert else ()
    return Files(tuple(rows.values()), proof, phone.load())


def _made(artifacts: Path) -> list[Row]:
    """The GGUF files there, in the order in which they were made."""
    rows: list[Row] = []
    with contextlib.suppress(*_DAMAGED):
        for name, entry in read_json(artifacts / "manifest.json")["artifacts"].items():
            if name.endswith(".gguf"):
                quantized = entry.get("quantized") or {}
                known = {"bits_per_weight": quantized["bits_per_weight"]} if quantized else {}
                kind = name.removesuffix(".gguf").rpartition(".")[2]
                rows.append({"type": kind, "file": name, "bytes": entry["bytes"], **known})
    return rows


def _failed(stage: str, folder: Path) -> Row | None:
    """The file that a failed run was about to make, with the reason as its `error`."""
    try:
        status = Run(folder).status()
    except ConfigurationError:
        return None
    if not status.error:
        return None
    kind = _MADE_BY_CONVERT
    if stage == "quantize":
        kind = status.progress.phase if status.progress else ""
        if kind not in get_args(Quantization):  # it had not begun with any of them
            return None
    where = status.error.get("where")
    what = status.error.get("what", "it failed")
    return {
        "type": kind,
        "file": f"model.{kind}.gguf",
        "error": f"not made: {f'{where}: ' if where else ''}{what}",
    }


def _proof(artifacts: Path) -> tuple[dict[str, Any], ...]:
    with contextlib.suppress(*_DAMAGED):
        return tuple(json.loads((artifacts / "proof.json").read_bytes()))
    return ()
