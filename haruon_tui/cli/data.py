"""`haruon data compose`."""

from __future__ import annotations

import argparse
import json

from haruon_tui import artifacts
from haruon_tui.cli import output
from haruon_tui.errors import ConfigurationError, Exit


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
