"""`haruon doctor`."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from haruon_tui.cli import output
from haruon_tui.errors import ConfigurationError, Exit
from haruon_tui.hardware.checks import SECONDS
from haruon_tui.hardware.examination import examine
from haruon_tui.settings import default_settings
from haruon_tui.workspace import Workspace

_MARKS = {"ok": "ok", "warning": "warning", "fails": "FAILS", "not applicable": "-"}
_BAR_CELLS = 20
_WHOLE_SECONDS, _LEAST_SECONDS = 2.6, 1.0


def doctor(arguments: argparse.Namespace) -> int:
    """Check this machine against the workspace's settings; outside a workspace, against tiny's."""
    if arguments.test:
        return _test(arguments)
    if arguments.detach:
        raise ConfigurationError(
            "only a test can be left to itself",
            where="--detach",
            do="haruon doctor --test --detach",
        )
    try:
        workspace = Workspace.find(arguments.workspace)
    except ConfigurationError:
        if arguments.workspace:
            raise
        settings, folder = default_settings("tiny"), Path.cwd()
    else:
        settings, folder = workspace.settings, workspace.folder
    examination = examine(settings, folder, _seconds_left())
    rows = examination.rows
    if arguments.json:
        output.document(examination.as_dict())
    else:
        output.table(
            ("", "check", "found", "needed"),
            [(_MARKS[row.verdict], row.title, row.found, row.needed) for row in rows],
        )
        if wanting := [row for row in rows if row.do]:
            output.line("\nwhat to do")
        for row in wanting:
            output.line(f"{_MARKS[row.verdict]:<8} {row.title}: {row.do}")
    return Exit.OK if examination.can_run else Exit.CHECK_FAILED


def _seconds_left() -> float:
    """A busy machine may have taken a second to start this program; all of it is to take three."""
    import psutil

    since_start = time.time() - psutil.Process().create_time()
    return max(_LEAST_SECONDS, min(SECONDS, _WHOLE_SECONDS - since_start))


def _test(arguments: argparse.Namespace) -> int:
    """Measure devices, memory and disk, as a job of the workspace."""
    from haruon_tui.cli import stage
    from haruon_tui.hardware.self_test import Params, Result, figure
    from haruon_tui.jobs import launch
    from haruon_tui.jobs.store import Store

    workspace = Workspace.find(arguments.workspace)
    submission = launch.submit(
        workspace, Store(workspace.runs), "selftest", Params(), reuse=False, fresh=True
    )
    code = stage.finish(arguments, workspace, submission)
    result = submission.run.status().result
    if result is None or arguments.json or arguments.detach:
        return code
    output.table(
        ("device", "test", "measured", "of the peak", "", "peak from"),
        [
            (
                one.device,
                one.what,
                f"{figure(one.value)} {one.unit}" if one.value is not None else "N/A",
                f"{one.share:.0%} of {figure(one.peak or 0)}" if one.share is not None else "-",
                "█" * round(_BAR_CELLS * min(1.0, one.share or 0)),
                one.note or one.problem,
            )
            for one in Result.model_validate(result).measured
        ],
    )
    return code
