"""`haruon jobs`: list, show, logs, attach, stop, resume, prune."""

from __future__ import annotations

import argparse
import sys
import time
from datetime import datetime

from haruon_tui import planning
from haruon_tui.cli import output
from haruon_tui.cli.follow import exit_code, follow, say_end
from haruon_tui.errors import ConfigurationError, Exit
from haruon_tui.jobs import events, launch
from haruon_tui.jobs.store import Run, State, Store
from haruon_tui.workspace import Workspace


def list_runs(arguments: argparse.Namespace) -> int:
    """All runs, newest first."""
    store = _store(arguments)
    runs = list(reversed(store.all()))
    for run in store.damaged():
        output.line(f"{run.id} has no readable job.json: haruon jobs prune {run.id}", stderr=True)
    if arguments.active:
        runs = [run for run in runs if run.status().state.active]
    if arguments.json:
        output.document([_describe(run) for run in runs])
    elif not runs:
        output.line("no runs yet: haruon pipeline starts the first ones")
    else:
        output.table(("run", "state", "progress", "started"), [_row(run) for run in runs])
    return Exit.OK


def show(arguments: argparse.Namespace) -> int:
    """Parameters, state and result of one run."""
    run = _store(arguments).get(arguments.run)
    status = run.status()
    described = {
        **_describe(run),
        "params": run.job.params,
        "inputs": run.job.inputs,
        "fingerprint": run.job.fingerprint,
        "versions": run.job.versions,
        "result": status.result,
        "error": status.error,
        "artifacts": str(run.artifacts),
    }
    if status.state is State.CRASHED:
        described["last_lines"] = run.last_lines()
    output.document(described)
    return Exit.OK


def logs(arguments: argparse.Namespace) -> int:
    """The log lines of a run, then what its process printed."""
    run = _store(arguments).get(arguments.run)
    reader = events.EventReader(run.log)
    while block := reader.read():
        if arguments.json:
            continue
        for event in block:
            if text := _log_text(event):
                output.line(f"{_clock(event['t'])}  {text}")
    if arguments.json:
        reader = events.EventReader(run.log)
        everything = []
        while block := reader.read():
            everything += block
        output.document({"events": everything, "output": run.last_lines(1000)})
    elif lines := run.last_lines(1000):
        output.line("--- output.log")
        for text in lines:
            output.line(text)
    return Exit.OK


def attach(arguments: argparse.Namespace) -> int:
    """Follow a run until it ends. Ctrl+C leaves it running."""
    run = _store(arguments).get(arguments.run)
    status = follow(run, quiet=arguments.json, grace_seconds=None)
    if arguments.json:
        output.document({**_describe(run), "result": status.result, "error": status.error})
    elif status.result:
        output.line(status.result["summary"])
    else:
        say_end(run, status)
    return exit_code(status)


def stop(arguments: argparse.Namespace) -> int:
    """Stop a run at its next checkpoint; end it after the grace time."""
    workspace = Workspace.find(arguments.workspace)
    run = Store(workspace.runs).get(arguments.run)
    if not run.status().state.active:
        raise ConfigurationError(f"{run.id} is {run.status().state}, there is nothing to stop")
    started = time.monotonic()
    state = launch.stop(run, workspace.settings.jobs.grace_seconds)
    seconds = round(time.monotonic() - started, 1)
    if arguments.json:
        output.document({**_describe(run), "seconds": seconds})
    else:
        output.line(f"{run.id} is {state} after {seconds} s")
        if state is not State.FINISHED:
            output.line(f"haruon jobs resume {run.id} goes on")
    return Exit.OK


def resume(arguments: argparse.Namespace) -> int:
    """Go on with a run and follow it."""
    workspace = Workspace.find(arguments.workspace)
    run = Store(workspace.runs).get(arguments.run)
    launch.resume(workspace, run)
    return attach(arguments)


def prune(arguments: argparse.Namespace) -> int:
    """Delete the named runs, or every ended run that no stage needs today."""
    workspace = Workspace.find(arguments.workspace)
    store = Store(workspace.runs)
    if arguments.runs:
        doomed = [store.get(name) for name in arguments.runs]
    else:
        needed = {step.finished.id for step in planning.plan(workspace, store).values()
                  if step.finished}  # fmt: skip
        doomed = [
            run for run in store.all() if run.id not in needed and not run.status().state.active
        ]
    if not doomed:
        output.line("nothing to delete")
        return Exit.OK
    if not arguments.yes:
        for run in doomed:
            output.line(run.id, stderr=True)
        if not sys.stdin.isatty():
            raise ConfigurationError(
                f"{len(doomed)} runs would be deleted", do="--yes deletes them"
            )
        output.line(f"Delete these {len(doomed)} runs with their artefacts? [y/N]", stderr=True)
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            return Exit.INTERRUPTED
    freed = sum(store.remove(run) for run in doomed)
    if arguments.json:
        output.document({"deleted": [run.id for run in doomed], "bytes": freed})
    else:
        output.line(f"{len(doomed)} runs deleted, {output.size(freed)} freed")
    return Exit.OK


def _store(arguments: argparse.Namespace) -> Store:
    return Store(Workspace.find(arguments.workspace).runs)


def _describe(run: Run) -> dict[str, object]:
    status = run.status()
    return {
        "run": run.id,
        "stage": run.stage,
        "state": status.state,
        "attempt": status.attempt,
        "created": run.job.created,
        "progress": status.progress.fraction if status.progress else None,
        **({"waits_for": status.waits_for} if status.waits_for else {}),
    }


def _row(run: Run) -> tuple[str, str, str, str]:
    status = run.status()
    progress = f"{status.progress.fraction:.0%}" if status.progress else "-"
    started = datetime.fromtimestamp(run.job.created).strftime("%Y-%m-%d %H:%M:%S")
    return run.id, status.state.value, progress, started


def _log_text(event: events.Event) -> str | None:
    kind = event["kind"]
    if kind == "log":
        return str(event["text"])
    if kind in events.LIFECYCLE:
        return f"[{kind}]" + (f" {event['error']['what']}" if kind == "failed" else "")
    if kind == "checkpoint":
        return f"checkpoint at step {event['step']}"
    if kind == "artifact":
        return f"artefact {event['name']}"
    return None


def _clock(when: float) -> str:
    return datetime.fromtimestamp(when).strftime("%H:%M:%S")
