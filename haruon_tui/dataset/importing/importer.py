"""Imports a dataset: what it is and how its records will look first, then the file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from haruon_tui.dataset import outputs, records
from haruon_tui.dataset.importing import containers, shapes
from haruon_tui.dataset.importing.containers import Container
from haruon_tui.dataset.importing.rows import BadRow, Row
from haruon_tui.dataset.importing.shapes import Shape, Unfit
from haruon_tui.dataset.records import Record
from haruon_tui.errors import CheckFailed, ConfigurationError

FORMATS = (
    "auto",
    "chatml",
    "sharegpt",
    "alpaca",
    "prompt-completion",
    "csv",
    "parquet",
    "hf-folder",
)
SAMPLE_ROWS = 50
EXAMPLES = 3
REASONS = 1000
"""So many different reasons are counted; the rejects file has every one."""
_CONTAINERS = ("csv", "parquet", "hf-folder")
_SHAPES: dict[str, Shape] = {
    "chatml": "chatml",
    "sharegpt": "sharegpt",
    "alpaca": "alpaca",
    "prompt-completion": "prompt-completion",
}


@dataclass(frozen=True)
class Plan:
    """What was found in a source and how it will be converted."""

    source: Path
    container: Container
    shape: Shape
    columns: Mapping[str, str]
    evidence: tuple[str, ...]
    notes: tuple[str, ...]
    unused: tuple[str, ...]
    examples: tuple[Record, ...]

    def as_dict(self) -> dict[str, Any]:
        return {
            "source": str(self.source),
            "container": self.container.kind,
            "shape": self.shape,
            "columns": dict(self.columns),
            "evidence": list(self.evidence),
            "notes": list(self.notes),
            "unused_columns": list(self.unused),
            "examples": list(self.examples),
        }


@dataclass
class Imported:
    """What an import did: `rows` = `written` + `rejected`; `notes` counts what was done."""

    file: str
    rejects: str
    rows: int = 0
    written: int = 0
    rejected: int = 0
    notes: dict[str, int] = field(default_factory=dict)
    reasons: dict[str, int] = field(default_factory=dict)


def plan(
    source: Path,
    form: str = "auto",
    columns: Mapping[str, str] | None = None,
    split: str | None = None,
) -> Plan:
    """Look at a source without writing anything.

    `form` is one of FORMATS; `columns` says which column is what (shapes.TARGETS). Raises
    ConfigurationError for a source that cannot be read or told, CheckFailed for one without a row
    that makes a record.
    """
    container = containers.find(source, form if form in _CONTAINERS else None, split)
    sample = list(islice(container.read(), SAMPLE_ROWS))
    rows = [row for row in sample if isinstance(row, Row)]
    if not rows:
        bad = next((row for row in sample if isinstance(row, BadRow)), None)
        what = f"line {bad.number}: {bad.message}" if bad else "it has no rows"
        raise CheckFailed(f"nothing of it can be read: {what}", where=str(source))
    given = _checked(columns or {}, rows[0], source)
    shape, why = _shape(form, given, rows, source)
    known = {**shapes.columns_of(rows[0].value), **given} if shape == "columns" else given
    notes: Counter[str] = Counter()
    examples: list[Record] = []
    first_fault = ""
    for number, row in enumerate(sample, start=1):
        if isinstance(row, BadRow):
            continue
        try:
            record, done = shapes.convert(row.value, shape, known, f"{source.stem}-{number}")
        except Unfit as fault:
            first_fault = first_fault or f"line {row.number} {fault}"
            continue
        notes.update(done)
        if len(examples) < EXAMPLES:
            examples.append(record)
    if not examples:
        raise CheckFailed(
            f"none of its first {len(rows)} rows makes a record: {first_fault}",
            where=str(source),
            expected=f"rows in the form {shape}",
            do="--format names another form, --columns says which column is what",
        )
    return Plan(
        source,
        container,
        shape,
        known,
        (*container.evidence, why),
        tuple(notes),
        _unused(rows[0], shape, known),
        tuple(examples),
    )


def files(out: Path) -> tuple[Path, Path]:
    """The two files of an import: records, and rows that make none."""
    return out, out.with_suffix(".rejected.jsonl")


def run(
    plan: Plan, out: Path, progress: Callable[[int, int | None], None] = lambda rows, byte: None
) -> Imported:
    """Write the records of a source to `out`, and what makes none beside it, each with line and
    reason. Both appear whole or not at all.

    `progress` gets the rows done and the byte reached, None in a binary table. Raises
    ConfigurationError when an output is the source or is there already, StageError when the disk
    is full.
    """
    outputs.refuse(files(out), [plan.source])
    result = Imported(str(out), str(files(out)[1]))
    notes: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    with (
        outputs.written(files(out)) as (wanted, rejects),
        wanted.open("wb") as kept,
        rejects.open("wb") as side,
    ):
        for row in plan.container.read():
            progress(result.rows, row.byte)
            reason, count = "", 1
            if isinstance(row, BadRow):
                reason, count = row.message, row.rows
                held: Any = {"raw": row.raw}
            else:
                name = f"{plan.source.stem}-{result.rows + 1}"
                try:
                    record, done = shapes.convert(row.value, plan.shape, plan.columns, name)
                    kept.write(records.encode(record))
                    notes.update(done)
                except Unfit as fault:
                    reason, held = str(fault), {"row": shapes.plain_value(row.value)}
            result.rows += count
            if reason:
                result.rejected += count
                if reason in reasons or len(reasons) < REASONS:
                    reasons[reason] += count
                place = {"file": row.file, "line": row.number, "byte": row.byte}
                side.write(records.encode({**place, "reason": reason, "rows": count, **held}))
            else:
                result.written += 1
    result.notes, result.reasons = dict(notes), dict(reasons.most_common(20))
    return result


def _checked(columns: Mapping[str, str], row: Row, source: Path) -> dict[str, str]:
    for target, column in columns.items():
        if target not in shapes.TARGETS:
            raise ConfigurationError(
                f"there is no {target!r}", where="--columns", expected=", ".join(shapes.TARGETS)
            )
        if column not in row.value:
            raise ConfigurationError(
                f"{source} has no column {column!r}",
                where="--columns",
                expected=", ".join(map(str, row.value)),
            )
    return dict(columns)


def _shape(
    form: str, columns: Mapping[str, str], rows: list[Row], source: Path
) -> tuple[Shape, str]:
    if form in _SHAPES:
        return _SHAPES[form], f"{form}: you said so"
    if columns:
        return "columns", "columns: you named them"
    votes = Counter(shape for row in rows if (shape := shapes.shape_of(row.value)))
    if not votes:
        raise ConfigurationError(
            f"its columns tell no form: {', '.join(map(str, rows[0].value))}",
            where=str(source),
            expected="messages; conversations; instruction and output; prompt and completion; or "
            "a report with the five traits or a question",
            do="--columns user=NAME,assistant=NAME says which column is what",
        )
    shape, count = votes.most_common(1)[0]
    return shape, f"{shape}: {_SIGNS[shape]} in {count} of the first {len(rows)} rows"


_SIGNS: dict[Shape, str] = {
    "chatml": "a list of messages with role and content",
    "sharegpt": "a list of messages with from and value",
    "alpaca": "instruction and output",
    "prompt-completion": "prompt and completion",
    "columns": "a report beside a question or the five traits",
}


def _unused(row: Row, shape: Shape, columns: Mapping[str, str]) -> tuple[str, ...]:
    used = {*columns.values(), "metadata", "id", *shapes.USED[shape]}
    return tuple(str(name) for name in row.value if name not in used)
