"""The stage `compare`: size, speed, quality and reports of each GGUF file."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from haruon_tui import artifacts, stage
from haruon_tui.comparison import quality
from haruon_tui.comparison.benchmark import Row, measure
from haruon_tui.comparison.rows import BUSY_PERCENT, COMPARISON_FILE, ROW_SUFFIX, reports_right
from haruon_tui.dataset import records
from haruon_tui.errors import StageError
from haruon_tui.evaluation.cases import Case, read_cases
from haruon_tui.evaluation.scoring import score
from haruon_tui.gguf.convert_stage import F16_FILE
from haruon_tui.gguf.quantize_stage import file_name

if TYPE_CHECKING:
    from haruon_tui.jobs.context import JobContext
    from haruon_tui.settings import Settings

TEXT_FILE = "held_out.txt"
BASELINE_FILE = "baseline.log-probabilities"
"""In the scratch folder: what the first file predicts, for every other one to be compared with."""

_LOOK_SECONDS = 0.2
_KEPT_OF_A_REPORT = ("case", "tokens", "stopped", "score")
_QUALITY = 0.3
"""Share of a file's time that goes to quality."""


class Params(stage.Params):
    files: list[stage.InputPath] = Field(min_length=1)
    """The first is what the others are compared with."""
    cases: stage.InputPath
    held_out: stage.InputPath
    """Records that were not trained on; quality is measured on what they say."""
    report_cases: int
    quality_chunks: int
    rules: str
    prompt_tokens: int
    generate_tokens: int
    repeats: int
    report_tokens: int
    context: int
    """That of the app, in tokens: what llama.cpp's buffers are reported for."""


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
        held_out=inputs.artifact("dataset", "eval.jsonl"),
        report_cases=settings.gguf.report_cases,
        quality_chunks=settings.gguf.quality_chunks,
        rules=settings.dataset.rules,
        prompt_tokens=settings.gguf.prompt_tokens,
        generate_tokens=settings.gguf.generate_tokens,
        repeats=settings.gguf.repeats,
        report_tokens=settings.evaluate.max_new_tokens,
        context=settings.chat.context,
    )


def run(params: Params, job: JobContext) -> Result:
    """Measure one file after the other, each in processes of its own.

    A file that crashes or does not load is a row with its `error`. Rows are kept as they are
    measured: a resumed job measures the rest. Leaves comparison.json and held_out.txt. Raises
    StageError when no file loads at all.
    """
    cases = spread(read_cases(params.cases), params.report_cases)
    with job.artifact(TEXT_FILE) as temporary:
        temporary.write_text(_text(params.held_out), encoding="utf-8")
    rows = []
    for index, path in enumerate(params.files):
        job.raise_if_stopped()
        row = _kept(path, job) or _measured(path, index, params, cases, job)
        _log(row, job)
        rows.append(row)
    with job.artifact(COMPARISON_FILE) as temporary:
        artifacts.write_json(
            temporary,
            {
                **params.model_dump(exclude={"files", "cases", "held_out"}),
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
    return Result(summary=_summary(rows), rows=[_without_texts(row) for row in rows])


def spread(cases: Sequence[Case], wanted: int) -> list[Case]:
    """`wanted` of the cases, evenly over the file, so that every group has its share."""
    if wanted >= len(cases):
        return list(cases)
    return [cases[index * len(cases) // wanted] for index in range(wanted)]


def _without_texts(row: Row) -> Row:
    """What the event log keeps of a row; comparison.json has the reports themselves."""
    short = [{key: made[key] for key in _KEPT_OF_A_REPORT} for made in row["reports"]]
    return {**row, "reports": short}


def _text(held_out: Path) -> str:
    """What was said and written in the records, without the system prompt they share."""
    contents = [
        records.content(line.record, role)
        for line in records.read(held_out)
        if isinstance(line, records.Line)
        for role in ("user", "assistant")
    ]
    return "\n\n".join(contents)


def _measured(path: Path, index: int, params: Params, cases: list[Case], job: JobContext) -> Row:
    import psutil

    total = len(params.files)
    name = path.name
    if index == 0:  # of another file than the one that is measured now
        artifacts.remove(job.scratch / BASELINE_FILE)
    job.progress(index, total, phase=name, unit="files")
    busy = psutil.cpu_percent(interval=_LOOK_SECONDS)
    if busy > BUSY_PERCENT:
        job.log(f"{name}: something else uses {busy:.0f} % of the CPU; speeds are low", "warning")

    def report(share: float, phase: str) -> None:
        part = share * (1 - _QUALITY) if phase != "quality" else 1 - _QUALITY + share * _QUALITY
        job.progress(index + part, total, phase=f"{name}: {phase}", unit="files")

    row = measure(
        path,
        **params.model_dump(
            include={"prompt_tokens", "generate_tokens", "repeats", "report_tokens", "context"}
        ),
        prompts=[case.messages for case in cases],
        progress=report,
        stop_requested=lambda: job.stop_requested,
    )
    row["busy_percent"] = busy
    row["reports"] = [
        {"case": case.id, **made, "score": _scored(case, made, params.rules)}
        for case, made in zip(cases, row["reports"], strict=False)
    ]
    if "error" not in row:
        row |= _quality(path, index, params, job, report)
    artifacts.write_json(_row_file(path, job), {"of": _stamp(path), "row": row})
    return row


def _scored(case: Case, made: Row, rules: str) -> Row:
    return score(case, made["text"], made["stopped"], made["tokens"], rules).as_dict()


def _quality(
    path: Path,
    index: int,
    params: Params,
    job: JobContext,
    report: Callable[[float, str], None],
) -> Row:
    """The `quality` of the row, or `no_quality` with the reason."""
    try:
        found = quality.measure(
            path,
            text=job.artifacts / TEXT_FILE,
            chunks=params.quality_chunks,
            baseline=job.scratch / BASELINE_FILE,
            is_baseline=index == 0,
            progress=report,
            stop_requested=lambda: job.stop_requested,
        )
    except StageError as error:
        job.log(f"{path.name}: no quality figures: {error.what}", "warning")
        return {"no_quality": error.what}
    return {"quality": found}


def _kept(path: Path, job: JobContext) -> Row | None:
    """The row that an earlier attempt measured, if the file is still the same. What failed is
    tried again."""
    try:
        kept = json.loads(_row_file(path, job).read_text(encoding="utf-8"))
        row: Row = kept["row"]
        good = kept["of"] == _stamp(path) and "error" not in row
    except (OSError, ValueError, KeyError):
        return None
    return row if good else None


def _row_file(path: Path, job: JobContext) -> Path:
    return job.scratch / f"{path.name}{ROW_SUFFIX}"


def _stamp(path: Path) -> list[Any]:
    try:
        status = path.stat()
    except OSError:
        return []
    return [str(path), status.st_size, status.st_mtime_ns]


def _log(row: Row, job: JobContext) -> None:
    if error := row.get("error"):
        job.log(f"{row['file']}: {error}", "error")
        return
    found = row.get("quality")
    job.log(
        f"{row['type']}: {row['bytes'] / 1e6:,.1f} MB, {row['bits_per_weight']:.2f} bits per "
        f"weight, loads in {row['load_seconds']:.2f} s, reads {row['prompt']['mean']:,.1f} ± "
        f"{row['prompt']['sd']:,.1f} and writes {row['generate']['mean']:,.1f} ± "
        f"{row['generate']['sd']:,.1f} tokens/s"
        + (f", divergence {found['divergence'][0]:.2g}" if found else "")
        + f", {complete_reports(row)} of {len(row['reports'])} reports complete"
    )


def complete_reports(row: Row) -> int:
    """How many of its reports have every section and were ended by the model itself."""
    return (reports_right(row) or {"complete": 0})["complete"]


def _summary(rows: list[Row]) -> str:
    measured = [row for row in rows if "error" not in row]
    if not measured:
        return f"all {len(rows)} files failed on the way"
    fastest = max(measured, key=lambda row: float(row["generate"]["mean"]))
    smallest = min(measured, key=lambda row: int(row["bytes"]))
    failed = len(rows) - len(measured)
    whole = sum(complete_reports(row) for row in measured)
    written = sum(len(row["reports"]) for row in measured)
    return (
        f"{len(measured)} files measured: {fastest['type']} writes "
        f"{fastest['generate']['mean']:,.1f} tokens/s, {smallest['type']} is the smallest with "
        f"{smallest['bytes'] / 1e6:,.1f} MB; {whole} of {written} reports complete"
        + (f"; {failed} failed" if failed else "")
    )
