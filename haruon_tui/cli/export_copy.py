"""`haruon export copy`: the lines that bring the files to a laptop."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path

from haruon_tui import planning
from haruon_tui.cli import output
from haruon_tui.errors import Exit
from haruon_tui.export.choice import DEFAULT_FOLDER, params_for
from haruon_tui.export.stage import require_proven
from haruon_tui.handover import copy_command
from haruon_tui.jobs.store import Store
from haruon_tui.workspace import Workspace


def copy(arguments: argparse.Namespace) -> int:
    """Check what is to be copied, and print the lines."""
    lines = copy_command.lines(_source(arguments), origin=arguments.origin, to=arguments.to)
    if arguments.json:
        output.document(asdict(lines) | {"source": str(lines.source)})
        return Exit.OK
    output.line(
        f"{lines.source}: {output.size(lines.bytes)}, {lines.files} file"
        + ("s" if lines.files > 1 else ""),
        stderr=True,
    )
    for about, line in copy_command.explained(lines):
        output.line(f"\n# {about}\n{line}")
    return Exit.OK


def _source(arguments: argparse.Namespace) -> Path:
    """The path that was named; else a GGUF by its type, the export that is there, or the GGUF
    that the comparison recommends."""
    named = arguments.what
    if named and (Path(named).expanduser().exists() or "/" in named):
        return Path(named)
    workspace = Workspace.find(arguments.workspace)
    exported = workspace.folder / DEFAULT_FOLDER
    if named is None and exported.is_dir():
        return exported
    store = Store(workspace.runs)
    params = params_for(workspace, store, planning.plan(workspace, store), gguf=named)
    require_proven(params)
    return params.gguf
