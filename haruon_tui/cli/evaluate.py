"""`haruon evaluate`: run it, hold the result against the bar, write the report, compare runs."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from haruon_tui import planning
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
        return _history(arguments, workspace, store)
    submission = _submit(arguments, workspace, store)
    code = finish(arguments, workspace, submission)
    if code != Exit.OK or arguments.detach:
        return code
    run = submission.run
    if not arguments.json:
        _say_figures(run.status().result or {})
    if arguments.html:
        _write_html(run, arguments.html, quiet=arguments.json)
    return _held_against_the_bar(run, workspace)


def _submit(
    arguments: argparse.Namespace, workspace: Workspace, store: Store
) -> launch.Submission:
    from haruon_tui.evaluation import choice
    from haruon_tui.evaluation.stage import Params

    steps = planning.plan(workspace, store)
    needed = () if arguments.cases else ("dataset",)
    params = planning.require_done(steps, "evaluate", *needed).params
    assert isinstance(params, Params)
    if arguments.cases:
        params = params.model_copy(update={"cases": _files(arguments.cases)})
    if not arguments.model:
        planning.require_done(steps, "evaluate", "model", "merge")
    known = choice.candidates(workspace.settings, planning.inputs(store, steps))
    params = choice.choose(params, arguments.model or params.names, known)
    for path in choice.unproven(params):
        output.line(
            f"warning: {path}: no proof that it behaves as the model it was made from\n"
            f"try: haruon gguf verify {path} --against FOLDER",
            stderr=True,
        )
    return launch.submit(workspace, store, "evaluate", params, reuse=not arguments.force)


def _files(paths: list[Path]) -> list[Path]:
    for path in paths:
        if not path.is_file():
            raise ConfigurationError(
                "there is no such file", where=str(path), expected="a JSONL file of cases"
            )
    return [path.resolve() for path in paths]


def _say_figures(result: dict[str, Any]) -> None:
    from haruon_tui.evaluation import results
    from haruon_tui.evaluation.figures import FIGURES, written

    models = results.models_of(result)
    output.table(
        ("", *models),
        [
            (
                one.title,
                *(written(one.key, results.mean(report, one.key)) for report in models.values()),
            )
            for one in FIGURES
        ],
    )


def _held_against_the_bar(run: Run, workspace: Workspace) -> int:
    from haruon_tui.evaluation.bar import misses

    result = run.status().result or {}
    missed = misses(workspace.settings.evaluate, result)
    for miss in missed:
        output.line(f"below the bar: {miss}", stderr=True)
    return Exit.CHECK_FAILED if missed else Exit.OK


def _write_html(run: Run, out: Path, *, quiet: bool) -> None:
    from haruon_tui.evaluation.results import write_report

    write_report(run.artifacts, out)
    if not quiet:
        output.line(f"{out}: {out.stat().st_size:,} bytes")


def _compare(arguments: argparse.Namespace, workspace: Workspace, store: Store) -> int:
    """RUN or RUN:MODEL against another; without a model, the last of each."""
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


def _history(arguments: argparse.Namespace, workspace: Workspace, store: Store) -> int:
    from haruon_tui.evaluation.figures import FIGURES, written
    from haruon_tui.evaluation.history import rows

    steps = planning.plan(workspace, store).values()
    found = list(rows(store, [step.finished.id for step in steps if step.finished]))
    if arguments.json:
        output.document([asdict(row) for row in found])
        return Exit.OK
    if not found:
        raise ConfigurationError("nothing was evaluated yet", do="haruon evaluate")
    output.table(
        ("run", "model", "cases", *(one.short for one in FIGURES), ""),
        [
            (
                row.run,
                row.model,
                str(row.cases),
                *(written(one.key, row.figures[one.key]) for one in FIGURES),
                "stale" if row.stale else "",
            )
            for row in found
        ],
    )
    if all(row.stale for row in found):
        output.line("every evaluation is stale: haruon evaluate makes one that holds", stderr=True)
    return Exit.OK
