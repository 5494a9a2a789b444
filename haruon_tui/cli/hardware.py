"""`haruon doctor` and `haruon monitor`."""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict
from pathlib import Path

from haruon_tui.cli import output
from haruon_tui.errors import ConfigurationError, Exit
from haruon_tui.hardware.checks import check_machine
from haruon_tui.hardware.monitor import Monitor, Sample
from haruon_tui.workspace import Workspace

_MARKS = {"ok": "ok", "warning": "warning", "fails": "FAILS", "not applicable": "-"}


def doctor(arguments: argparse.Namespace) -> int:
    """Check this machine against the workspace's profile; outside a workspace, against tiny."""
    try:
        workspace = Workspace.find(arguments.workspace)
        profile, folder = workspace.settings.profile, workspace.folder
    except ConfigurationError:
        if arguments.workspace:
            raise
        profile, folder = "tiny", Path.cwd()
    rows = check_machine(profile, folder)
    if arguments.json:
        output.document({"profile": profile, "rows": [row.as_dict() for row in rows]})
    else:
        output.table(
            ("", "check", "found", "needed", "what to do"),
            [(_MARKS[row.verdict], row.title, row.found, row.needed, row.do) for row in rows],
        )
    return Exit.CHECK_FAILED if any(row.verdict == "fails" for row in rows) else Exit.OK


def monitor(arguments: argparse.Namespace) -> int:
    """Print CPU, memory and GPU load until Ctrl+C, or `--count` times."""
    watching = Monitor()
    taken = 0
    while not arguments.count or taken < arguments.count:
        time.sleep(arguments.interval)
        sample = watching.sample()
        taken += 1
        if arguments.json:
            output.json_line(asdict(sample))
        else:
            output.line(_line(sample))
    return Exit.OK


def _line(sample: Sample) -> str:
    parts = [f"CPU {_number(sample.cpu_percent)} %", f"RAM {_used(sample)}"]
    parts += [
        f"GPU{gpu.index} {_number(gpu.utilisation)} % {output.size(gpu.memory_used or 0)}"
        for gpu in sample.gpus
    ]
    return "  ".join(parts)


def _used(sample: Sample) -> str:
    if sample.memory_used is None or sample.memory_total is None:
        return "N/A"
    return f"{output.size(sample.memory_used)} of {output.size(sample.memory_total)}"


def _number(value: float | None) -> str:
    return "N/A" if value is None else f"{value:.0f}"
