"""`haruon evaluate`: run it, hold the result against the bar, write the report, compare runs."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from haruon_tui import artifacts, planning
from haruon_tui.cli import output
from haruon_tui.cli.stage import finish, workspace_of
from haruon_tui.errors import ConfigurationError, Exit
from haruon_tui.jobs import launch
from haruon_tui.jobs.store import Run, State, Store
from haruon_tui.workspace import Workspace


def evaluate(arguments: argparse.Namespace) -> int:
    """Run the stage and follow it. Exit code 1 where the last model is below the bar."""
    workspace = workspace_of(arguments)
    store = Store(workspace.runs)
    if arguments.compare:
        return _compare(arguments, workspace, store)
    if arguments.history:
        return _history(arguments, store)
    submission = _submit(arguments, workspace, store)
    code = finish(arguments, workspace, submission)
    if code != Exit.OK or arguments.detach:
        return code
    run = submission.run
    if arguments.html:
        _write_html(run, arguments.html, quiet=arguments.json)
    return _held_against_the_bar(run, workspace)


def _submit(
    arguments: argparse.Namespace, workspace: Workspace, store: Store
) -> launch.Submission:
    from haruon_tui.evaluation import choice
    from haruon_tui.evaluation.stage import Params

    steps = planning.plan(workspace, store)
    params = steps["evaluate"].params
    assert isinstance(params, Params)
    if arguments.model:
        known = choice.candidates(workspace.settings, planning.inputs(store, steps))
        params = choice.choose(params, arguments.model, known, arguments.cases)
        if not arguments.cases and steps["dataset"].finished is None:
            planning.require_ready(steps, "evaluate")
    else:
        planning.require_ready(steps, "evaluate")
        params = choice.choose(params, (), {}, arguments.cases)
    return launch.submit(workspace, store, "evaluate", params, reuse=not arguments.force)


def _held_against_the_bar(run: Run, workspace: Workspace) -> int:
    from haruon_tui.evaluation.bar import misses

    result = run.status().result or {}
    missed = misses(workspace.settings.evaluate, result)
    for miss in missed:
        output.line(f"below the bar: {miss}", stderr=True)
    return Exit.CHECK_FAILED if missed else Exit.OK


def _write_html(run: Run, out: Path, *, quiet: bool) -> None:
    from haruon_tui.evaluation.results import REPORT_FILE

    made = run.artifacts / REPORT_FILE
    if out.is_dir():
        raise ConfigurationError(
            "is a folder", where=str(out), expected="the name of a file to write"
        )
    try:
        with artifacts.replacing(out) as temporary:
            shutil.copyfile(made, temporary)
    except OSError as error:
        raise ConfigurationError(f"cannot be written: {error.strerror}", where=str(out)) from error
    if not quiet:
        output.line(f"{out}: {out.stat().st_size:,} bytes")


def _compare(arguments: argparse.Namespace, workspace: Workspace, store: Store) -> int:
    """RUN or RUN:MODEL against another; without a model, the last of each."""
    from dataclasses import asdict

    from haruon_tui.evaluation import results
    from haruon_tui.evaluation.difference import compare
    from haruon_tui.evaluation.figures import written

    (before, old), (after, new) = (_lines(store, name) for name in arguments.compare)
    found = compare(old, new, workspace.settings.evaluate.seed)
    if arguments.json:
        output.document({"before": before, "after": after, **asdict(found)})
        return Exit.OK
    output.table(
        ("", before, after, "difference, 95 %", ""),
        [
            (
                one.title,
                written(one.key, one.before),
                written(one.key, one.after),
                f"{written(one.key, one.low)} to {written(one.key, one.high)}",
                one.verdict,
            )
            for one in found.figures
        ],
    )
    for word, changes in (("worse", found.worse), ("better", found.better)):
        for change in changes[:10]:
            reasons = change.come if word == "worse" else change.gone
            output.line(f"{word}: {change.case}: {'; '.join(reasons) or 'a little'}")
    output.line(found.summary)
    if found.only_before or found.only_after:
        output.line(f"{results.not_compared(found.only_before, found.only_after)}", stderr=True)
    return Exit.OK


def _lines(store: Store, name: str) -> tuple[str, list[dict[str, Any]]]:
    from haruon_tui.evaluation import results

    run_name, _, model = name.partition(":")
    run = store.get(run_name)
    if run.stage != "evaluate" or run.status().state is not State.FINISHED:
        raise ConfigurationError(
            f"is a run of {run.stage}, {run.status().state}",
            where=run.id,
            expected="a finished evaluation",
            do="haruon evaluate --history lists them",
        )
    lines = results.read_lines(run.artifacts)
    names = list(dict.fromkeys(line["model"] for line in lines))
    if model and model not in names:
        raise ConfigurationError(
            f"the run has no model {model!r}", where=run.id, expected=", ".join(names)
        )
    chosen = model or names[-1]
    return f"{run.id[-4:]}:{chosen}", results.of_model(lines, chosen)


def _history(arguments: argparse.Namespace, store: Store) -> int:
    rows = list(_finished(store))
    if arguments.json:
        output.document(rows)
        return Exit.OK
    if not rows:
        raise ConfigurationError("nothing was evaluated yet", do="haruon evaluate")
    keys = [key for key in rows[0] if key not in ("run", "model")]
    from haruon_tui.evaluation.figures import BY_KEY, written

    output.table(
        ("run", "model", *(BY_KEY[key].title for key in keys)),
        [(row["run"], row["model"], *(written(key, row[key]) for key in keys)) for row in rows],
    )
    return Exit.OK


def _finished(store: Store) -> Iterable[dict[str, Any]]:
    """A row for each model of each finished evaluation, newest first."""
    from haruon_tui.evaluation import results
    from haruon_tui.evaluation.figures import FIGURES

    for run in store.of_stage("evaluate"):
        for name, report in results.models_of(run.status().result or {}).items():
            found = {one.key: results.mean(report, one.key) for one in FIGURES}
            yield {"run": run.id, "model": name, **found}
