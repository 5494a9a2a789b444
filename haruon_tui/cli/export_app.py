"""`haruon export app`: the folder for the people who build the app."""

from __future__ import annotations

import argparse

from haruon_tui import planning
from haruon_tui.cli import output
from haruon_tui.cli import stage as stage_command
from haruon_tui.export.choice import params_for
from haruon_tui.jobs import launch
from haruon_tui.jobs.store import Store


def export_app(arguments: argparse.Namespace) -> int:
    """Choose the GGUF, write the folder as a job, and say where it is and what is missing."""
    workspace = stage_command.workspace_of(arguments)
    store = Store(workspace.runs)
    steps = planning.plan(workspace, store)
    params = params_for(
        workspace,
        store,
        steps,
        gguf=arguments.gguf,
        out=arguments.out,
        replace=arguments.force,
    )
    if arguments.detach and not arguments.json:  # else they are told as the job tells them
        for note in params.notes:
            output.line(f"! {note}", stderr=True)
    submission = launch.submit(workspace, store, "export", params, reuse=False)
    return stage_command.finish(arguments, workspace, submission)
