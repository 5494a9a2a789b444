"""`haruon gguf export`, `verify`, `sizes`: on files and folders anywhere, without a workspace."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from haruon_tui.cli import output
from haruon_tui.errors import Exit

if TYPE_CHECKING:
    from haruon_tui.gguf.verify import Check


def verify(arguments: argparse.Namespace) -> int:
    """Compare a GGUF with the Hugging Face folder it was made from. Exits 1 when it differs."""
    from haruon_tui.gguf.verify import verify as proof

    checks = proof(arguments.gguf, arguments.against)
    if arguments.json:
        output.document([check.model_dump(mode="json") for check in checks])
    else:
        output.table(("", "check", "detail"), _rows(checks))
    return _code(checks)


def export(arguments: argparse.Namespace) -> int:
    """Convert a Hugging Face folder and prove it. A file that fails is kept under a name that
    says so; then exits 1."""
    from haruon_tui import artifacts
    from haruon_tui.gguf.convert import convert
    from haruon_tui.gguf.convert_stage import failed_name
    from haruon_tui.gguf.verify import verify as proof

    out: Path = arguments.out
    with artifacts.replacing(out.with_name(failed_name(out.name))) as unproven:
        conversion = convert(arguments.folder, unproven, dtype=arguments.type, name=arguments.name)
        checks = proof(unproven, arguments.folder)
    code = _code(checks)
    kept = out.with_name(failed_name(out.name))
    if code == Exit.OK:
        kept = kept.replace(out)
    if arguments.json:
        output.document(
            {
                "file": str(kept),
                "bytes": conversion.bytes,
                "parameters": conversion.parameters,
                "notes": conversion.notes,
                "checks": [check.model_dump(mode="json") for check in checks],
            }
        )
    else:
        output.table(("", "check", "detail"), _rows(checks))
        for text in (*conversion.notes, f"{kept}: {conversion.bytes:,} bytes"):
            output.line(text)
    return code


def sizes(arguments: argparse.Namespace) -> int:
    """The exact size that every quantization of a GGUF would have; makes nothing."""
    from haruon_tui.gguf.quantize import FILE_TYPES, plan

    planned = plan(arguments.gguf, list(FILE_TYPES))
    planned.sort(key=lambda entry: entry.bytes)
    if arguments.json:
        output.document([entry.model_dump(mode="json") for entry in planned])
        return Exit.OK
    output.table(
        ("type", "bytes", "bits/weight"),
        [(e.type, f"{e.bytes:,}", f"{e.bits_per_weight:.2f}") for e in planned],
    )
    for entry in planned:
        for fallback in entry.fallbacks:
            output.line(f"{entry.type}: {fallback}")
    return Exit.OK


def _rows(checks: list[Check]) -> list[tuple[str, str, str]]:
    return [("ok" if check.ok else "FAILS", check.name, check.detail) for check in checks]


def _code(checks: list[Check]) -> int:
    return Exit.OK if all(check.ok for check in checks) else Exit.CHECK_FAILED
