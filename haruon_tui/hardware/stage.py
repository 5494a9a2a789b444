"""Stage "hardware": check the machine before hours are spent on it."""

from __future__ import annotations

import socket
from collections import Counter
from typing import TYPE_CHECKING, Any

from haruon_tui import artifacts, stage
from haruon_tui.errors import CheckFailed
from haruon_tui.hardware.checks import describe_failures
from haruon_tui.hardware.examination import examine
from haruon_tui.hardware.needs import weighing
from haruon_tui.settings import Settings, build

if TYPE_CHECKING:
    from haruon_tui.jobs.context import JobContext


class Params(stage.Params):
    """`settings` are those that decide what is needed, in the form of haruon.toml. `host` makes
    the check run again when a workspace moves to another machine."""

    settings: dict[str, Any]
    host: str


class Result(stage.Result):
    """Number of rows by verdict; the rows themselves are in hardware.json."""

    verdicts: dict[str, int]


def configure(settings: Settings, inputs: stage.Inputs) -> Params:
    """Params for the configured profile and recipe on this machine."""
    return Params(settings=weighing(settings), host=socket.gethostname())


def run(params: Params, job: JobContext) -> Result:
    """Check the machine and write hardware.json.

    Raises CheckFailed when the profile cannot run here.
    """
    settings = build(params.settings)
    examination = examine(settings, job.folder)
    rows = examination.rows
    for row in rows:
        level = {"fails": "error", "warning": "warning"}.get(row.verdict, "info")
        advice = f" - {row.do}" if row.do else ""
        job.log(f"{row.verdict}: {row.title}: {row.found}{advice}", level)  # type: ignore[arg-type]
    with job.artifact("hardware.json") as temporary:
        artifacts.write_json(temporary, examination.as_dict())
    failing = [row for row in rows if row.verdict == "fails"]
    if failing:
        raise CheckFailed(
            f"this machine cannot run the profile {settings.profile!r}: {describe_failures(rows)}",
            where=params.host,
            do="; ".join(dict.fromkeys(row.do for row in failing)),
        )
    verdicts = Counter(row.verdict for row in rows)
    counts = ", ".join(f"{count} {verdict}" for verdict, count in verdicts.most_common())
    return Result(summary=f"{settings.profile} can run here: {counts}", verdicts=dict(verdicts))
