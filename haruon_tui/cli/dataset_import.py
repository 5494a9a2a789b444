"""`haruon data import`: show what a source is, then write it as dataset records."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

from haruon_tui.cli import output
from haruon_tui.cli.meter import Meter
from haruon_tui.errors import ConfigurationError, Exit

if TYPE_CHECKING:
    from haruon_tui.dataset.importing.importer import Imported, Plan
    from haruon_tui.dataset.records import Record

_SHOWN_CHARACTERS = 160
_SHOWN_REASONS = 5


def import_dataset(arguments: argparse.Namespace) -> int:
    """Import a file or folder. Exits 1 when no row made a record."""
    from haruon_tui.dataset import outputs
    from haruon_tui.dataset.importing import importer

    if arguments.out is None and not arguments.dry_run:
        raise ConfigurationError(
            "no file to write to", where="--out", do="--out FILE, or --dry-run to only look"
        )
    if arguments.out is not None:
        outputs.refuse(importer.files(arguments.out), [arguments.source])
    plan = importer.plan(
        arguments.source, arguments.format, _columns(arguments.columns), arguments.split
    )
    if not arguments.json:
        _show(plan)
    if arguments.dry_run:
        if arguments.json:
            output.document({"plan": plan.as_dict()})
        return Exit.OK
    asks = sys.stdin.isatty() and not arguments.yes and not arguments.json
    if asks and not _agreed(f"Write {arguments.out}?"):
        output.line("nothing was written", stderr=True)
        return Exit.INTERRUPTED
    with Meter("importing", quiet=arguments.json) as meter:
        total = plan.container.bytes
        result = importer.run(
            plan,
            arguments.out,
            lambda rows, byte: meter.at(byte or rows, total if byte else 0),
        )
    if arguments.json:
        output.document({"plan": plan.as_dict(), **asdict(result)})
    else:
        _say(result)
    return Exit.OK if result.written else Exit.CHECK_FAILED


def _columns(written: list[str] | None) -> dict[str, str]:
    """`user=질문,assistant=보고서` as a mapping."""
    columns: dict[str, str] = {}
    for pair in (pair for text in written or [] for pair in text.split(",")):
        target, equals, column = pair.partition("=")
        if not equals or not target.strip() or not column.strip():
            raise ConfigurationError(
                f"{pair!r} names no column",
                where="--columns",
                expected="user=NAME,assistant=NAME,…",
            )
        columns[target.strip()] = column.strip()
    return columns


def _show(plan: Plan) -> None:
    output.line(f"{plan.source}: {plan.container.kind}, {plan.shape}")
    for evidence in plan.evidence:
        output.line(f"  because {evidence}")
    for target, column in plan.columns.items():
        output.line(f"  {target} comes from the column {column!r}")
    for note in plan.notes:
        output.line(f"  note: {note}")
    if plan.unused:
        output.line(f"  not used: {', '.join(plan.unused)}")
    output.line(f"its first {len(plan.examples)} records, as they will be written:")
    for record in plan.examples:
        _show_record(record)


def _show_record(record: Record) -> None:
    output.line(f"- {record['metadata']['id']}")
    for message in record["messages"]:
        text = " ".join(message["content"].split())
        more = f"… ({len(text)} characters)" if len(text) > _SHOWN_CHARACTERS else ""
        output.line(f"    {message['role']:<9} {text[:_SHOWN_CHARACTERS]}{more}")


def _agreed(question: str) -> bool:
    output.line(f"{question} [y/N]", stderr=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _say(result: Imported) -> None:
    output.line(f"{result.written} of {result.rows} rows written to {result.file}")
    for note, count in result.notes.items():
        output.line(f"  {count}: {note}")
    if result.rejected:
        output.line(f"{result.rejected} rejected, each with its line and reason: {result.rejects}")
        for reason, count in list(result.reasons.items())[:_SHOWN_REASONS]:
            output.line(f"  {count}: {reason}")
    output.line(f"next: haruon data clean {result.file} --out FILE checks them")
