"""`haruon export card`: the model card, on the terminal or in a file."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from haruon_tui import planning
from haruon_tui.cli import output
from haruon_tui.errors import Exit
from haruon_tui.handover import card
from haruon_tui.handover.gather import gather
from haruon_tui.jobs.store import Store
from haruon_tui.workspace import Workspace


def export_card(arguments: argparse.Namespace) -> int:
    """Make the card, say what is missing in it, and write or print it."""
    workspace = Workspace.find(arguments.workspace)
    store = Store(workspace.runs)
    gathered = gather(store, planning.plan(workspace, store))
    made = card.write(gathered.runs)
    if arguments.file:
        card.save(arguments.file, made.text, replace=arguments.force)
    for note in gathered.notes:
        output.line(f"! {note}", stderr=True)
    if arguments.json:
        output.document(
            {
                "file": str(arguments.file.absolute()) if arguments.file else None,
                "notes": gathered.notes,
                "text": made.text,
                "values": [asdict(value) for value in made.values],
            }
        )
    elif arguments.file:
        output.line(f"{arguments.file}: {len(made.values)} values of {workspace.runs}")
    else:
        output.piece(made.text)
    return Exit.OK
