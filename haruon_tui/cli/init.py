"""`haruon init`."""

from __future__ import annotations

import argparse

from haruon_tui.cli import output
from haruon_tui.errors import Exit
from haruon_tui.workspace import Workspace


def init(arguments: argparse.Namespace) -> int:
    """Make a folder a workspace."""
    folder = (arguments.workspace or arguments.folder).resolve()
    if arguments.if_missing and Workspace(folder).file.exists():
        return Exit.OK
    workspace = Workspace.init(folder, arguments.profile, force=arguments.force)
    if arguments.json:
        output.document({"workspace": str(workspace.folder), "profile": arguments.profile})
    else:
        output.line(f"{workspace.folder} is a workspace with the profile {arguments.profile}.")
        output.line("next: `haruon` opens it, `haruon pipeline` runs every stage")
    return Exit.OK
