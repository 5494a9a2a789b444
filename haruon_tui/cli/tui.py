"""`haruon` without a command, and `haruon data view`: the terminal program."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from haruon_tui.errors import ConfigurationError, Exit
from haruon_tui.workspace import Workspace


def open_app(arguments: argparse.Namespace) -> int:
    """Open the terminal program on the workspace."""
    _require_terminal(arguments)
    return _run(arguments, Workspace.find(arguments.workspace), None)


def view(arguments: argparse.Namespace) -> int:
    """Open it at the dataset browser on a file; a workspace is not needed for that."""
    _require_terminal(arguments)
    from haruon_tui.dataset.browser.rows import open_regular

    os.close(open_regular(arguments.file))  # what cannot be opened is said here and now
    try:
        workspace = Workspace.find(arguments.workspace)
    except ConfigurationError:
        if arguments.workspace:
            raise
        workspace = Workspace(Path.cwd())
    return _run(arguments, workspace, arguments.file.absolute())


def _require_terminal(arguments: argparse.Namespace) -> None:
    if arguments.json or not all(
        stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)
    ):
        raise ConfigurationError(
            "the terminal program needs a terminal",
            expected="stdin, stdout and stderr on a terminal",
            do="haruon --help lists the commands for scripts",
        )


def _run(arguments: argparse.Namespace, workspace: Workspace, browse: Path | None) -> int:
    from haruon_tui.app import HaruonApp

    app = HaruonApp(workspace, read_only=arguments.read_only, browse=browse)
    app.run()
    return app.return_code or Exit.OK
