"""The stage `compare`: size, speed and behaviour of the F16 GGUF and of each quantized one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from haruon_tui import artifacts, stage
from haruon_tui.errors import StageError
from haruon_tui.gguf import probes
from haruon_tui.gguf.benchmark import Row, measure
from haruon_tui.gguf.convert_stage import F16_FILE
from haruon_tui.gguf.quantize_stage import file_name

if TYPE_CHECKING:
    from haruon_tui.jobs.context import JobContext
    from haruon_tui.settings import Settings

COMPARISON_FILE = "comparison.json"

_LOOK_SECONDS = 0.2
_BUSY_PERCENT = 20.0


class Params(stage.Params):
    files: list[stage.InputPath] = Field(min_length=1)
    """The first is what the others are compared with."""
    cases: stage.InputPath | None = None
    """Evaluation cases: each file writes the report on the first. None takes fixed answers."""
    prompt_tokens: int
    generate_tokens: int
    repeats: int
    report_tokens: int


class Result(stage.Result):
    rows: list[Row]


def configure(settings: Settings, inputs: stage.Inputs) -> Params:
    return Params(
        files=[
            inputs.artifact("convert", F16_FILE),
            *(
                inputs.artifact("quantize", file_name(file_type))
                for file_type in dict.fromkeys(settings.gguf.quantize)
            ),
        ],
        cases=inputs.artifact("dataset", "cases.jsonl"),
        prompt_tokens=settings.gguf.prompt_tokens,
        generate_tokens=settings.gguf.generate_tokens,
        repeats=settings.gguf.repeats,
        report_tokens=settings.evaluate.max_new_tokens,
    )


def run(params: Params, job: JobContext) -> Result:
    """Measure one file after the other, each in a process of its own.

    A file that crashes or does not load is a row with its `error`. Rows are kept as they are
    measured: a resumed job measures the rest. Leaves comparison.json. Raises StageError when no
    file loads at all.
    """
    rows = []
    for index, path in enumerate(params.files):
        job.raise_if_stopped()
        row = _kept(path, job) or _measured(path, index, params, job)
        _log(row, job)
        rows.append(row)
    with job.artifact(COMPARISON_FILE) as temporary:
        artifacts.write_json(
            temporary,
            {
                **params.model_dump(exclude={"files", "cases"}),
                "llama_cpp_python": version("llama-cpp-python"),
                "rows": rows,
            },
        )
    if not any(row["loads"] for row in rows):
        raise StageError(
            f"none of the files loads: {rows[0]['error']}",
            where=str(params.files[0]),
            do=f"read {job.artifacts / COMPARISON_FILE}",
        )
    return Result(summary=_summary(rows), rows=rows)


def _measured(path: Path, index: int, params: Params, job: JobContext) -> Row:
    import psutil

    total = len(params.files)
    name = path.name
    job.progress(index, total, phase=name, unit="files")
    busy = psutil.cpu_percent(interval=_LOOK_SECONDS)
    if busy > _BUSY_PERCENT:
        job.log(f"{name}: something else uses {busy:.0f} % of the CPU; speeds are low", "warning")
    row = measure(
        path,
        **params.model_dump(exclude={"files", "cases"}),
        answers=_answers(params.cases),
        progress=lambda share, phase: job.progress(
            index + share, total, phase=f"{name}: {phase}", unit="files"
        ),
        stop_requested=lambda: job.stop_requested,
    )
    row["busy_percent"] = busy
    row["complete"] = _complete(row.get("report", ""))
    if "error" not in row:
        artifacts.write_json(_row_file(path, job), {"of": _stamp(path), "row": row})
    return row


def _answers(cases: Path | None) -> Mapping[str, str]:
    from haruon_tui.dataset.golden import load_cases

    found = load_cases(cases) if cases else []
    return found[0]["answers"] if found else probes.ANSWERS


def _complete(report: str) -> bool:
    from haruon_tui.dataset.report import parse

    return bool(parse(report).complete)


def _kept(path: Path, job: JobContext) -> Row | None:
    """The row that an earlier attempt measured, if the file is still the same."""
    try:
        kept = json.loads(_row_file(path, job).read_text(encoding="utf-8"))
        row: Row | None = kept["row"] if kept["of"] == _stamp(path) else None
    except (OSError, ValueError, KeyError):
        return None
    return row


def _row_file(path: Path, job: JobContext) -> Path:
    return job.scratch / f"{path.name}.row.json"


def _stamp(path: Path) -> list[Any]:
    status = path.stat()
    return [str(path), status.st_size, status.st_mtime_ns]


def _log(row: Row, job: JobContext) -> None:
    if error := row.get("error"):
        job.log(f"{row['file']}: {error}", "error")
        return
    job.log(
        f"{row['type']}: {row['bytes'] / 1e6:,.1f} MB, {row['bits_per_weight']:.2f} bits per "
        f"weight, loads in {row['load_seconds']:.2f} s, reads {row['prompt']['mean']:,.1f} ± "
        f"{row['prompt']['sd']:,.1f} and writes {row['generate']['mean']:,.1f} ± "
        f"{row['generate']['sd']:,.1f} tokens/s, "
        f"{'stops by itself' if row['stops'] else 'does not stop by itself'}, "
        f"{'complete' if row['complete'] else 'incomplete'} report"
    )


def _summary(rows: list[Row]) -> str:
    measured = [row for row in rows if "error" not in row]
    if not measured:
        return f"all {len(rows)} files failed on the way"
    fastest = max(measured, key=lambda row: float(row["generate"]["mean"]))
    smallest = min(measured, key=lambda row: int(row["bytes"]))
    failed = len(rows) - len(measured)
    return (
        f"{len(measured)} files measured: {fastest['type']} writes "
        f"{fastest['generate']['mean']:,.1f} tokens/s, {smallest['type']} is the smallest with "
        f"{smallest['bytes'] / 1e6:,.1f} MB; {sum(row['stops'] for row in measured)} stop by "
        "themselves" + (f"; {failed} failed" if failed else "")
    )
