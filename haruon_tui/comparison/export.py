"""The comparison as CSV, Markdown or JSON, for other programs and for documents."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from haruon_tui import artifacts
from haruon_tui.comparison.choice import choose
from haruon_tui.comparison.columns import columns
from haruon_tui.comparison.phone import Figure, Phones, budget
from haruon_tui.comparison.rows import Row, load_note, reports_right
from haruon_tui.errors import ConfigurationError

Format = Literal["csv", "md", "json"]
FORMATS: tuple[Format, ...] = ("csv", "md", "json")

_PLAIN = (
    "type",
    "file",
    "bytes",
    "bits_per_weight",
    "peak_rss_bytes",
    "load_seconds",
    "load_cold_seconds",
    "busy_percent",
)
_SPEEDS = ("prompt", "generate")
_QUALITY = (
    "perplexity",
    "perplexity_ratio",
    "divergence",
    "same_top",
    "rms_probability_change",
)
_REPORTS = ("complete", "levels", "safe", "of")


def export(rows: Sequence[Row], form: Format, known: Phones) -> str:
    """The rows as a text of this form, with the limits of the target phone of `known`.

    CSV has a line per row with every figure as it was measured and an estimate as its two ends;
    JSON the rows as they are, with the reports; Markdown the cells of the screen."""
    return {"csv": _csv, "md": _markdown, "json": _json}[form](rows, known)


def write(rows: Sequence[Row], path: Path, form: Format, known: Phones, *, replace: bool) -> None:
    """Write it to `path`, whole or not at all.

    Raises ConfigurationError where a file is there and `replace` is not set, or the place cannot
    be written."""
    if path.exists() and not replace:
        raise ConfigurationError(
            "is there already", where=str(path), do="choose another name, or replace it (--force)"
        )
    try:
        artifacts.write_text(path, export(rows, form, known))
    except OSError as error:
        raise ConfigurationError(
            f"cannot be written: {error.strerror or error}", where=str(path)
        ) from error


def flat(row: Row, known: Phones) -> dict[str, Any]:
    """A row with one value under each name; what is not known is not there."""
    found: dict[str, Any] = {key: row[key] for key in _PLAIN if key in row}
    for key in _SPEEDS:
        if key in row:
            found |= {f"{key}_tokens_per_s": row[key]["mean"], f"{key}_sd": row[key]["sd"]}
    for key in _QUALITY:
        if key in row.get("quality", {}):
            found[key], found[f"{key}_error"] = row["quality"][key]
    for key, count in (reports_right(row) or {}).items():
        found[f"reports_{key}"] = count
    for name, figure in zip(_LIMITS, _budget(row, known), strict=False):
        found |= _flat_figure(name, figure)
    for key in ("error", "no_quality"):
        if key in row:
            found[key] = " ".join(str(row[key]).split())
    return found


_LIMITS = ("phone_app_bytes", "phone_memory_bytes", "phone_load_s", "phone_report_s")


def _flat_figure(name: str, figure: Figure) -> dict[str, Any]:
    if not figure.estimated:
        return {name: figure.most, f"{name}_limit": figure.verdict}
    ends = {f"{name}_estimate_least": figure.least, f"{name}_estimate_most": figure.most}
    return {**ends, f"{name}_limit": figure.verdict}


def _names() -> list[str]:
    names = list(_PLAIN)
    for key in _SPEEDS:
        names += [f"{key}_tokens_per_s", f"{key}_sd"]
    for key in _QUALITY:
        names += [key, f"{key}_error"]
    names += [f"reports_{key}" for key in _REPORTS]
    for name in _LIMITS:
        ends = (name,) if "bytes" in name else (f"{name}_estimate_least", f"{name}_estimate_most")
        names += [*ends, f"{name}_limit"]
    return [*names, "no_quality", "error"]


def _budget(row: Row, known: Phones) -> list[Figure]:
    return budget(row, known.target, known) if row.get("buffers") else []


def _csv(rows: Sequence[Row], known: Phones) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, _names(), lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat(row, known) for row in rows)
    return text.getvalue()


def _json(rows: Sequence[Row], known: Phones) -> str:
    choice = choose(rows, known)
    document = {
        "phone": known.target.name,
        "recommended": choice.file,
        "recommendation": choice.sentence,
        "rows": list(rows),
        "limits": {
            str(row.get("file")): [
                {
                    "name": figure.name,
                    "unit": figure.unit,
                    "least": figure.least,
                    "most": figure.most,
                    "limit": figure.limit,
                    "kind": "estimate" if figure.estimated else "measured",
                    "verdict": figure.verdict,
                }
                for figure in _budget(row, known)
            ]
            for row in rows
        },
    }
    return json.dumps(document, ensure_ascii=False, indent=2) + "\n"


def _markdown(rows: Sequence[Row], known: Phones) -> str:
    shown = columns(known.target, known)
    lines = [
        "| " + " | ".join(column.title for column in shown) + " |",
        "| --- " + "| ---: " * (len(shown) - 1) + "|",
    ]
    lines += [
        "| " + " | ".join(escaped(column.cell(row)) for column in shown) + " |" for row in rows
    ]
    lines += ["", escaped(choose(rows, known).sentence)]
    reasons = [(row, key) for row in rows for key in ("error", "no_quality") if key in row]
    if reasons or load_note(list(rows)):
        lines.append("")
    lines += [f"- {escaped(str(row.get('type')))}: {escaped(row[key])}" for row, key in reasons]
    if note := load_note(list(rows)):
        lines.append(f"- {escaped(note)}")
    lines += ["", *(f"- {column.title}: {column.help}" for column in shown)]
    return "\n".join(lines) + "\n"


def escaped(text: Any) -> str:
    """On one line, with nothing that Markdown or HTML would take for more than text."""
    line = " ".join("".join(c for c in str(text) if c.isprintable() or c.isspace()).split())
    for sign in "\\|<>`*_[]":
        line = line.replace(sign, f"\\{sign}")
    return line
