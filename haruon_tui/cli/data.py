"""`haruon data compose` and `haruon data validate`."""

from __future__ import annotations

import argparse
import json

from haruon_tui import artifacts
from haruon_tui.cli import output
from haruon_tui.errors import ConfigurationError, Exit
from haruon_tui.workspace import Workspace

_SHOWN = 20


def compose(arguments: argparse.Namespace) -> int:
    """Write composed examples to a JSONL file."""
    from haruon_tui.dataset.composer import compose as composed

    if arguments.out.exists():
        raise ConfigurationError(
            "is there already", where=str(arguments.out), do="name another file"
        )
    records = composed(arguments.count, arguments.seed).records
    text = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
    artifacts.write_text(arguments.out, text)
    if arguments.json:
        output.document({"file": str(arguments.out), "records": len(records)})
    else:
        output.line(f"{len(records)} examples in {arguments.out}")
    return Exit.OK


def validate(arguments: argparse.Namespace) -> int:
    """Check every record of a JSONL file. Exits 1 when one is not good enough."""
    from haruon_tui.dataset.file_validation import validate_file

    summary = validate_file(arguments.file, arguments.rules or _workspace_rules(arguments))
    if arguments.json:
        output.document(summary.as_dict())
        return Exit.OK if summary.ok else Exit.CHECK_FAILED
    for found in summary.findings[:_SHOWN]:
        output.line(f"{summary.path}:{found.line}: {found.finding}")
        if found.finding.suggestion:
            output.line(f"    {found.finding.suggestion}")
    total = len(summary.findings) + summary.findings_left_out
    if total > _SHOWN:
        output.line(f"… and {total - _SHOWN} more findings; --json shows them")
    output.line(
        f"{summary.valid} valid, {summary.invalid} invalid by the rules '{summary.rule_set}'"
    )
    return Exit.OK if summary.ok else Exit.CHECK_FAILED


def _workspace_rules(arguments: argparse.Namespace) -> str:
    try:
        return Workspace.find(arguments.workspace).settings.dataset.rules
    except ConfigurationError:
        if arguments.workspace:
            raise
        return "calibrated"
