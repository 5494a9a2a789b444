"""`haruon advise`: what the runs say should be changed, and the change itself."""

from __future__ import annotations

import argparse
import json
from typing import Any

from haruon_tui import settings_file
from haruon_tui.cli import output
from haruon_tui.errors import ConfigurationError, Exit
from haruon_tui.workspace import Workspace


def advise(arguments: argparse.Namespace) -> int:
    """Print the advice, or write the changes of one piece of it into haruon.toml."""
    from haruon_tui.advice import evidence, rules

    workspace = Workspace.find(arguments.workspace)
    found = rules.advise(evidence.gather(workspace))
    if arguments.apply:
        wanted = next((one for one in found if one.id == arguments.apply), None)
        if wanted is None:
            known = ", ".join(one.id for one in found) or "none now"
            raise ConfigurationError(
                f"there is no advice {arguments.apply!r}", where="--apply", expected=known
            )
        settings_file.set_keys(workspace.file, wanted.changes)
        if arguments.json:
            output.document({"applied": wanted.as_dict()})
        else:
            output.line(f"{workspace.file}: {in_words(wanted.changes)}")
        return Exit.OK
    if arguments.json:
        output.document({"advice": [one.as_dict() for one in found]})
        return Exit.OK
    for one in found:
        output.line(f"{one.id}: {one.title}")
        output.line(f"  seen: {one.evidence}")
        output.line(f"  change: {in_words(one.changes)}")
        output.line(f"  haruon advise --apply {one.id} writes it into haruon.toml")
    if not found:
        output.line("Nothing to advise: what has run so far shows none of the symptoms.")
    return Exit.OK


def in_words(changes: dict[str, Any]) -> str:
    """`train.epochs = 2, train.scheduler = "cosine"`."""
    return ", ".join(
        f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in changes.items()
    )
