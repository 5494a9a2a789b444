"""`haruon train chart`: the curves of trainings as a picture or a table."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from haruon_tui.cli import output
from haruon_tui.errors import ConfigurationError, Exit
from haruon_tui.jobs.store import Store
from haruon_tui.training import chart_file
from haruon_tui.workspace import Workspace

if TYPE_CHECKING:
    from haruon_tui.jobs.store import Run


def chart(arguments: argparse.Namespace) -> int:
    """Write the named runs' curves, without a name the newest training's."""
    if not 0.0 <= arguments.smoothing < 1.0:
        raise ConfigurationError(
            f"{arguments.smoothing:g} is no weight of the past",
            where="--smoothing",
            expected="a number from 0 (none) to below 1",
        )
    chart_file.form_of(arguments.out)  # before a long log is read
    store = Store(Workspace.find(arguments.workspace).runs)
    runs = [store.get(name) for name in arguments.runs] or [_newest(store)]
    trainings = [chart_file.read(run) for run in dict.fromkeys(runs)]
    chart_file.write(
        trainings,
        arguments.out,
        smoothing=arguments.smoothing,
        log=arguments.log,
        replace=arguments.force,
    )
    if arguments.json:
        ids = [one.id for one in trainings]
        output.document({"file": str(arguments.out.absolute()), "runs": ids})
    else:
        output.line(str(arguments.out.absolute()))
    return Exit.OK


def _newest(store: Store) -> Run:
    found = next(store.of_stage("train"), None)
    if found is None:
        raise ConfigurationError("has no training yet", where=str(store.folder), do="haruon train")
    return found
