"""`haruon` without a command: the terminal program."""

from __future__ import annotations

import argparse
import sys

from haruon_tui.errors import ConfigurationError, Exit
from haruon_tui.workspace import Workspace


def open_app(arguments: argparse.Namespace) -> int:
    """Open the terminal program on the workspace."""
    if arguments.json or not all(
        stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)
    ):
        raise ConfigurationError(
            "the terminal program needs a terminal",
            expected="stdin, stdout and stderr on a terminal",
            do="haruon --help lists the commands for scripts",
        )
    workspace = Workspace.find(arguments.workspace)
    from haruon_tui.app import HaruonApp

    app = HaruonApp(workspace, read_only=arguments.read_only)
    app.run()
    return app.return_code or Exit.OK
