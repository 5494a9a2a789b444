"""`haruon train`: as a job, or as commands that the user runs."""

from __future__ import annotations

import argparse

from haruon_tui import planning
from haruon_tui.cli import output
from haruon_tui.cli.stage import run_stage, workspace_of
from haruon_tui.errors import ConfigurationError, Exit
from haruon_tui.jobs import launch
from haruon_tui.jobs.store import Store
from haruon_tui.launching.command import shown
from haruon_tui.training.ranks import commands, share
from haruon_tui.workspace import Workspace


def train(arguments: argparse.Namespace) -> int:
    """Train, print what starts the processes on each machine, or make a run for them."""
    if arguments.print_commands:
        return _print(arguments, workspace_of(arguments))
    if arguments.prepare:
        return _prepare(workspace_of(arguments))
    return run_stage(arguments)


def _print(arguments: argparse.Namespace, workspace: Workspace) -> int:
    if arguments.set:
        raise ConfigurationError(
            "the commands train with what haruon.toml says",
            where="--set",
            do=f"write it into {workspace.file} first",
        )
    wanted = workspace.settings.train
    found = commands(wanted, workspace.folder)
    if not found:
        raise ConfigurationError(
            "one process trains alone and needs no launcher",
            where="train.processes",
            do="haruon train, or processes = 2 under [train]",
        )
    if arguments.json:
        output.document({"commands": found, "step": share(wanted).words})
        return Exit.OK
    output.line(f"an optimizer step takes {share(wanted).words}", stderr=True)
    for number, command in enumerate(found):
        if len(found) > 1:
            output.line(f"machine {number}, in the same folder there:", stderr=True)
        output.line(shown(command))
    return Exit.OK


def _prepare(workspace: Workspace) -> int:
    store = Store(workspace.runs)
    step = planning.require_ready(planning.plan(workspace, store), "train")
    submission = launch.submit(workspace, store, step.stage, step.params, start=False)
    if submission.how in ("reused", "joined"):
        state = "done already" if submission.how == "reused" else "under way"
        raise ConfigurationError(
            f"this training is {state}: {submission.run.id}",
            do=f"haruon jobs show {submission.run.id}",
        )
    output.line(str(submission.run.folder))
    return Exit.OK
