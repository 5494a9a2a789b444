"""`haruon export push`: the GGUF and its card to the Hugging Face Hub."""

from __future__ import annotations

import argparse
import sys

from haruon_tui import planning
from haruon_tui.cli import output
from haruon_tui.cli import stage as stage_command
from haruon_tui.errors import ConfigurationError, Exit
from haruon_tui.handover import push
from haruon_tui.jobs import launch
from haruon_tui.jobs.store import Store


def export_push(arguments: argparse.Namespace) -> int:
    """Look at the repository, ask before anything in it is replaced, and upload as a job."""
    workspace = stage_command.workspace_of(arguments)
    store = Store(workspace.runs)
    params, notes = push.params_for(
        store,
        planning.plan(workspace, store),
        arguments.repository,
        types=arguments.gguf,
        public=arguments.public,
    )
    for note in notes:
        output.line(f"! {note}", stderr=True)
    replaced = push.replaced(params)
    if replaced and not arguments.yes and not _agreed(params.repository, replaced):
        return Exit.CHECK_FAILED
    params = params.model_copy(update={"replace": bool(replaced)})
    submission = launch.submit(workspace, store, "push", params, reuse=False)
    return stage_command.finish(arguments, workspace, submission)


def _agreed(name: str, replaced: list[str]) -> bool:
    what = f"{name} has {', '.join(replaced)} already, with another content"
    if not sys.stdin.isatty():
        raise ConfigurationError(
            what,
            where="repository",
            do="--yes puts a new version there; the old one stays in its history",
        )
    output.line(f"{what}. Put a new version there? [y/N] ", stderr=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")
