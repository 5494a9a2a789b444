"""What earlier stages have measured, as the manifest of the export says it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from haruon_tui.comparison import phone
from haruon_tui.comparison.rows import Row
from haruon_tui.errors import StageError
from haruon_tui.evaluation import results
from haruon_tui.evaluation.figures import FIGURES

NOT_EVALUATED = {"state": "not evaluated yet", "do": "haruon evaluate"}
NOT_COMPARED = {"state": "not compared yet", "do": "haruon gguf compare"}

_KEPT_OF_A_ROW = ("bytes", "bits_per_weight", "load_seconds", "prompt", "generate", "buffers")


def evaluation(files: Sequence[Path], gguf: Path) -> dict[str, Any]:
    """Of each model in the evaluations that concern this GGUF: every figure over all cases, with
    its 95 % interval. Raises StageError for a file that cannot be read."""
    models: dict[str, Any] = {}
    for file in files:
        document = read(file)
        params = document.get("params", {})
        paths = dict(zip(params.get("names", ()), params.get("models", ()), strict=False))
        for name, report in results.models_of(document).items():
            if name == "base" or (
                Path(paths.get(name, "")).suffix == ".gguf" and Path(paths[name]) != gguf
            ):
                continue
            models[name] = {
                "cases": document.get("cases"),
                "run": file.parent.parent.name,
                "this_file": Path(paths.get(name, "")) == gguf,
                **_figures(report),
            }
    return {"state": "evaluated", "models": models} if models else dict(NOT_EVALUATED)


def _figures(report: dict[str, Any]) -> dict[str, Any]:
    return {
        figure.key: {
            "mean": round(found.mean, 6),
            "interval": [round(found.low, 6), round(found.high, 6)],
        }
        for figure in FIGURES
        if (found := results.estimate(report, figure.key))
    }


def phone_budget(comparison: Path | None, gguf: Path) -> dict[str, Any]:
    """The four limits for this file on the target phone, and what was measured of it here."""
    row = _row(comparison, gguf) if comparison else None
    if comparison is None or row is None or "error" in row or not row.get("buffers"):
        return dict(NOT_COMPARED)
    known = phone.load()
    return {
        "state": "compared",
        "run": comparison.parent.parent.name,
        "phone": known.target.name,
        "limits": [
            {
                "name": figure.name,
                "unit": figure.unit,
                "least": figure.least,
                "most": figure.most,
                "limit": figure.limit,
                "estimated": figure.estimated,
                "verdict": figure.verdict,
            }
            for figure in phone.budget(row, known.target, known)
        ],
        "measured_here": {key: row[key] for key in _KEPT_OF_A_ROW if key in row},
        "quality": row.get("quality", {}),
    }


def targets() -> dict[str, Any]:
    """The limits that the benchmark on the phone holds its figures against."""
    known = phone.load()
    limits = known.limits
    return {
        "source": limits.source,
        "load_seconds": limits.load_seconds,
        "report_tokens": limits.report_tokens,
        "report_seconds": limits.report_seconds,
        "app_bytes": limits.app_bytes,
        "app_bytes_besides_model": known.app_bytes_besides_model,
        "memory_bytes": limits.memory_bytes,
    }


def _row(comparison: Path, gguf: Path) -> Row | None:
    rows = read(comparison).get("rows", [])
    return next((row for row in rows if row.get("file") == gguf.name), None)


def read(file: Path) -> Any:
    """The JSON in a file that a stage left. Raises StageError."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StageError(
            f"cannot be read: {error}",
            where=str(file),
            do="run the stage that made it again, with --force",
        ) from error
