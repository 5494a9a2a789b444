"""`haruon gguf verify`."""

from __future__ import annotations

import argparse

from haruon_tui.cli import output
from haruon_tui.errors import Exit


def verify(arguments: argparse.Namespace) -> int:
    """Compare a GGUF with the Hugging Face folder it was made from. Exits 1 when it differs."""
    from haruon_tui.gguf.verify import verify as proof

    checks = proof(arguments.gguf, arguments.against)
    if arguments.json:
        output.document([check.model_dump(mode="json") for check in checks])
    else:
        output.table(
            ("", "check", "detail"),
            [("ok" if check.ok else "FAILS", check.name, check.detail) for check in checks],
        )
    return Exit.OK if all(check.ok for check in checks) else Exit.CHECK_FAILED
