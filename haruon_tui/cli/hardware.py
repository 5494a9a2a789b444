"""`haruon doctor`."""

from __future__ import annotations

import argparse
from pathlib import Path

from haruon_tui.cli import output
from haruon_tui.errors import ConfigurationError, Exit
from haruon_tui.hardware.checks import check_machine
from haruon_tui.settings import default_settings
from haruon_tui.workspace import Workspace

_MARKS = {"ok": "ok", "warning": "warning", "fails": "FAILS", "not applicable": "-"}


def doctor(arguments: argparse.Namespace) -> int:
    """Check this machine against the workspace's profile; outside a workspace, against tiny."""
    try:
        workspace = Workspace.find(arguments.workspace)
        settings, folder = workspace.settings, workspace.folder
    except ConfigurationError:
        if arguments.workspace:
            raise
        settings, folder = default_settings("tiny"), Path.cwd()
    rows = check_machine(settings, folder)
    if arguments.json:
        output.document({"profile": settings.profile, "rows": [row.as_dict() for row in rows]})
    else:
        output.table(
            ("", "check", "found", "needed", "what to do"),
            [(_MARKS[row.verdict], row.title, row.found, row.needed, row.do) for row in rows],
        )
    return Exit.CHECK_FAILED if any(row.verdict == "fails" for row in rows) else Exit.OK
