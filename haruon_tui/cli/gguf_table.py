"""`haruon gguf table`: the comparison on the terminal or in a file."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from haruon_tui import planning
from haruon_tui.cli import output
from haruon_tui.comparison import export, phone
from haruon_tui.comparison.choice import choose
from haruon_tui.comparison.columns import columns
from haruon_tui.comparison.rows import load_note, read_rows
from haruon_tui.errors import ConfigurationError, Exit
from haruon_tui.jobs.store import Store
from haruon_tui.workspace import Workspace

if TYPE_CHECKING:
    from haruon_tui.comparison.rows import Row
    from haruon_tui.jobs.store import Run


def table(arguments: argparse.Namespace) -> int:
    """Show or write the rows of the comparison; while it runs, those that it has so far."""
    known = _phones(arguments.phone)
    run = _run(arguments)
    rows = read_rows(run.folder)
    if not rows:
        raise ConfigurationError("has no row yet", where=str(run.folder), do="haruon gguf compare")
    form = arguments.format or _form_of(arguments.out) or ("json" if arguments.json else None)
    if arguments.out:
        export.write(rows, arguments.out, form or "csv", known, replace=arguments.force)
        if arguments.json:
            output.document({"file": str(arguments.out.absolute()), "rows": len(rows)})
        else:
            output.line(f"{arguments.out}: {len(rows)} rows")
    elif form:
        print(export.export(rows, form, known), end="")
    else:
        _show(rows, known)
    return Exit.OK


def _show(rows: list[Row], known: phone.Phones) -> None:
    shown = columns(known.target, known)
    output.table(
        [column.title for column in shown],
        [[" ".join(column.cell(row).split()) for column in shown] for row in rows],
    )
    output.line(choose(rows, known).sentence)
    for row in rows:
        for key in ("error", "no_quality"):
            if key in row:
                output.line(f"{row['type']}: {' '.join(str(row[key]).split())}")
    if note := load_note(rows):
        output.line(note, stderr=True)


def _phones(name: str | None) -> phone.Phones:
    known = phone.load()
    if name is None:
        return known
    for one in known.phones:
        if one.name.lower() == name.lower():
            return replace(known, target=one)
    raise ConfigurationError(
        f"{name!r} is no phone of the table",
        where="--phone",
        expected=", ".join(one.name for one in known.phones),
    )


def _run(arguments: argparse.Namespace) -> Run:
    workspace = Workspace.find(arguments.workspace)
    step = planning.plan(workspace, Store(workspace.runs))["compare"]
    run = None if step.state == "stale" else step.finished or step.latest
    if run is None:
        raise ConfigurationError(
            "was not compared with these settings",
            where=str(workspace.folder),
            do="haruon gguf compare",
        )
    return run


def _form_of(out: Path | None) -> export.Format | None:
    """The form that the file's name asks for."""
    end = out.suffix.removeprefix(".") if out else ""
    return next((form for form in export.FORMATS if form == end), None)
