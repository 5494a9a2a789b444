"""`haruon train` and its like, and `haruon pipeline`: submit a job and follow it."""

from __future__ import annotations

import argparse
import tomllib
from typing import Any

from haruon_tui import pipeline_stage, planning
from haruon_tui.cli import output
from haruon_tui.cli.follow import exit_code, follow, say_end
from haruon_tui.errors import ConfigurationError, Exit
from haruon_tui.jobs import launch
from haruon_tui.jobs.store import State, Store
from haruon_tui.workspace import Workspace

_HOW = {
    "reused": "is done already: {run} did the same work",
    "joined": "is under way: following {run}",
    "resumed": "goes on with {run}",
    "new": "starts as {run}",
}


def run_stage(arguments: argparse.Namespace) -> int:
    """Run one stage from the settings, or say that it is done already."""
    workspace = workspace_of(arguments)
    store = Store(workspace.runs)
    step = planning.require_ready(planning.plan(workspace, store), arguments.stage)
    submission = launch.submit(
        workspace, store, step.stage, step.params, reuse=not arguments.force
    )
    return finish(arguments, workspace, submission)


def pipeline(arguments: argparse.Namespace) -> int:
    """Run every stage that is not done, then show what came out."""
    workspace = workspace_of(arguments)
    store = Store(workspace.runs)
    stages = planning.select(arguments.first, arguments.last)
    steps = planning.plan(workspace, store)
    if not arguments.force and all(steps[name].finished for name in stages):
        if arguments.json:
            output.document({"how": "reused", "stages": _rows(steps, stages)})
        else:
            output.line("nothing to do: every stage is done with these settings", stderr=True)
            _summary(steps, stages)
        return Exit.OK
    if arguments.force:
        raise ConfigurationError(
            "would run every stage again",
            where="--force",
            do="force one stage, as in haruon train --force; what follows it runs again by itself",
        )
    params = pipeline_stage.params_for(steps, stages, workspace.overrides)
    submission = launch.submit(workspace, store, "pipeline", params, reuse=False)
    code = finish(arguments, workspace, submission)
    if code == Exit.OK and not arguments.json and not arguments.detach:
        _summary(planning.plan(workspace, store), stages)
    return code


def workspace_of(arguments: argparse.Namespace) -> Workspace:
    """The workspace meant, under the settings of --set."""
    found = Workspace.find(arguments.workspace)
    return Workspace(found.folder, _overrides(arguments.set))


def _overrides(assignments: list[str]) -> dict[str, Any]:
    """`train.epochs=1` as {"train": {"epochs": 1}}; the value is TOML, or a bare word."""
    overrides: dict[str, Any] = {}
    for text in assignments:
        name, equals, value = text.partition("=")
        section, dot, key = name.strip().partition(".")
        if not equals or (not dot and section != "profile"):
            raise ConfigurationError(
                f"{text!r} is no setting", where="--set", expected="SECTION.KEY=VALUE"
            )
        try:
            parsed = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            parsed = value
        if dot:
            overrides.setdefault(section, {})[key] = parsed
        else:
            overrides[section] = parsed
    return overrides


def finish(
    arguments: argparse.Namespace, workspace: Workspace, submission: launch.Submission
) -> int:
    """Follow a submitted run to its end, unless --detach, and say what came of it."""
    run = submission.run
    if not arguments.json:
        output.line(f"{run.stage} {_HOW[submission.how].format(run=run.id)}", stderr=True)
    if not arguments.detach:
        grace = workspace.settings.jobs.grace_seconds
        status = follow(run, quiet=arguments.json, grace_seconds=grace)
    else:
        status = run.status()
    if arguments.json:
        output.document(
            {
                "run": run.id,
                "stage": run.stage,
                "how": submission.how,
                "state": status.state,
                "result": status.result,
                "error": status.error,
                "artifacts": str(run.artifacts),
            }
        )
    elif arguments.detach:
        output.line(run.id)
    elif status.result:
        output.line(f"{run.stage}: {status.result['summary']}")
        output.line(str(run.artifacts))
    if status.state is not State.FINISHED and not arguments.detach:
        say_end(run, status)
    return Exit.OK if arguments.detach else exit_code(status)


def _rows(steps: dict[str, planning.Step], stages: tuple[str, ...]) -> list[dict[str, Any]]:
    rows = []
    for name in stages:
        run = steps[name].finished
        result = run.status().result if run else None
        rows.append({"stage": name, "run": run.id if run else None, "result": result})
    return rows


def _summary(steps: dict[str, planning.Step], stages: tuple[str, ...]) -> None:
    output.table(
        ("stage", "result"),
        [
            (row["stage"], (row["result"] or {}).get("summary", "-"))
            for row in _rows(steps, stages)
        ],
    )
    rows = {row["stage"]: row["result"] or {} for row in _rows(steps, stages)}
    if answer := rows.get("chat", {}).get("text"):
        output.line(f"\nwhat the quantized model wrote:\n\n{answer}\n")
    last = steps["quantize" if "quantize" in stages else stages[-1]].finished
    if last:
        output.line(f"result: {last.artifacts}")
