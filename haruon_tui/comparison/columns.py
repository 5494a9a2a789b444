"""The columns of the comparison: what stands in a cell, how it sorts, and what it means."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from haruon_tui.comparison.phone import Figure, Phone, Phones, budget
from haruon_tui.comparison.rows import Row, reports_right

NONE = "–"
MARKS = {"kept": "✓", "open": "?", "broken": "✗"}
"""Whether a limit of the phone is kept; `open`: it lies inside the range of the estimate."""

_ZERO = 5e-6

Value = float | str | tuple[float, ...] | None


@dataclass(frozen=True)
class Column:
    """`cell` gives the text of a row, `value` what it is sorted by (None: not known, always
    last). `better` is the end that is wanted. Only `shown` columns are there from the start."""

    key: str
    title: str
    help: str
    cell: Callable[[Row], str]
    value: Callable[[Row], Value]
    better: Literal["low", "high"] = "low"
    estimated: bool = False
    shown: bool = True


def columns(phone: Phone, known: Phones) -> tuple[Column, ...]:
    """Every column, the last ones about the limits of `phone`."""
    return (*_MEASURED, *(_phone_column(at, phone, known) for at in range(4)))


def sort_rows(rows: Sequence[Row], column: Column, *, reverse: bool = False) -> list[Row]:
    """The rows by a column, those without a value last in either direction."""
    known = [(value, row) for row in rows if (value := column.value(row)) is not None]
    known.sort(key=lambda entry: entry[0], reverse=reverse)
    return [row for _, row in known] + [row for row in rows if column.value(row) is None]


def with_error(value: float, error: float) -> str:
    """`0.052±0.001` with one digit of the error; a value too small to matter is 0."""
    if abs(value) < _ZERO:
        return "0"
    if error < _ZERO:
        return f"{value:.3g}"
    digits = 0
    while digits < 5 and error * 10**digits < 0.95:
        digits += 1
    return f"{value:.{digits}f}±{error:.{digits}f}"


def size(count: float) -> str:
    """Bytes in decimal units, three digits: 986 MB, 3.09 GB."""
    for unit, unit_bytes in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= unit_bytes:
            shown = count / unit_bytes
            digits = 2 if shown < 10 else 1 if shown < 100 else 0
            return f"{shown:.{digits}f} {unit}"
    return f"{count:.0f} B"


def _figure(key: str, form: Callable[[Any], str]) -> dict[str, Any]:
    """`cell` and `value` of a plain number under `key`."""
    return {
        "cell": lambda row: form(row[key]) if key in row else NONE,
        "value": lambda row: row.get(key),
    }


def _speed(key: str) -> dict[str, Any]:
    def cell(row: Row) -> str:
        if key not in row:
            return NONE
        digits = 0 if row[key]["mean"] >= 100 else 1
        return f"{row[key]['mean']:,.{digits}f}±{row[key]['sd']:,.{digits}f}"

    return {"cell": cell, "value": lambda row: row[key]["mean"] if key in row else None}


def _quality(key: str, form: Callable[[float, float], str]) -> dict[str, Any]:
    def cell(row: Row) -> str:
        return form(*row["quality"][key]) if key in row.get("quality", {}) else NONE

    return {
        "cell": cell,
        "value": lambda row: row["quality"][key][0] if key in row.get("quality", {}) else None,
    }


def _reports(row: Row) -> str:
    found = reports_right(row)
    if found is None:
        return NONE
    return f"{found['complete']}/{found['levels']}/{found['safe']} of {found['of']}"


def _reports_value(row: Row) -> Value:
    found = reports_right(row)
    return (found["complete"], found["levels"], found["safe"]) if found else None


def _type(row: Row) -> str:
    return ("✗ " if row.get("error") else "") + str(row.get("type", "?"))


_MEASURED = (
    Column("type", "Type", "how the weights are stored", _type, lambda row: str(row.get("type"))),
    Column("bytes", "Size", "of the file, measured", **_figure("bytes", size)),
    Column(
        "bits_per_weight",
        "BPW",
        "bits per weight: bytes of all tensors by the number of weights",
        **_figure("bits_per_weight", lambda value: f"{value:.2f}"),
    ),
    Column(
        "peak_rss_bytes",
        "RSS",
        "the most memory that the process held, measured",
        **_figure("peak_rss_bytes", size),
    ),
    Column(
        "load_seconds",
        "Warm",
        "seconds to a ready context, the file in the page cache",
        **_figure("load_seconds", lambda value: f"{value:.2f}s"),
    ),
    Column(
        "load_cold_seconds",
        "Cold",
        "seconds to a ready context, the file's pages forgotten first",
        **_figure("load_cold_seconds", lambda value: f"{value:.2f}s"),
    ),
    Column(
        "prompt",
        "pp t/s",
        "prompt tokens read per second as llama-bench's pp, mean ± deviation of the runs",
        better="high",
        **_speed("prompt"),
    ),
    Column(
        "generate",
        "tg t/s",
        "tokens written per second as llama-bench's tg, mean ± deviation of the runs",
        better="high",
        **_speed("generate"),
    ),
    Column(
        "perplexity",
        "PPL",
        "perplexity on the held-out text",
        **_quality("perplexity", lambda value, _: f"{value:.4g}"),
    ),
    Column(
        "perplexity_ratio",
        "PPL/F16",
        "perplexity by that of the F16 file, ± standard error",
        **_quality("perplexity_ratio", with_error),
    ),
    Column(
        "divergence",
        "KL nats",
        "mean Kullback-Leibler divergence from the F16 file's predictions, ± standard error",
        **_quality("divergence", with_error),
    ),
    Column(
        "same_top",
        "Top 1",
        "how often the likeliest token is that of the F16 file",
        better="high",
        **_quality("same_top", lambda value, _: f"{value:.1%}"),
    ),
    Column(
        "rms_probability_change",
        "RMS Δp",
        "root mean square of the change of the true token's probability",
        **_quality("rms_probability_change", lambda value, _: f"{value:.2%}"),
    ),
    Column(
        "reports",
        "Reports",
        "complete / every level right / nothing forbidden, of the reports written",
        _reports,
        _reports_value,
        better="high",
    ),
    Column(
        "busy_percent",
        "Busy",
        "CPU that other programs used just before",
        shown=False,
        **_figure("busy_percent", lambda value: f"{value:.0f}%"),
    ),
)


def _phone_column(at: int, phone: Phone, known: Phones) -> Column:
    """The limit number `at` of haruon_tui.comparison.phone.budget."""
    tokens = known.limits.report_tokens
    title, key, meaning = (
        ("App", "app", "file and program, against the limit for an app; measured"),
        ("Memory", "memory", "llama.cpp's buffers at the app's context; measured"),
        ("Load s", "load", "estimate: the file by the storage's rate"),
        (f"{tokens} tok s", "report", "estimate: bytes read per token by the memory's rate"),
    )[at]

    def figure(row: Row) -> Figure | None:
        return budget(row, phone, known)[at] if row.get("buffers") else None

    def cell(row: Row) -> str:
        found = figure(row)
        return f"{amount(found)} {MARKS[found.verdict]}" if found else NONE

    def value(row: Row) -> Value:
        found = figure(row)
        return found.most if found else None

    return Column(
        f"phone_{key}",
        title,
        f"{phone.name}: {meaning}",
        cell,
        value,
        estimated=at >= 2,
    )


def amount(figure: Figure) -> str:
    """`1.05 GB`, or `estimate 9.8–12.3` in seconds."""
    if not figure.estimated:
        return size(figure.most) if figure.unit == "bytes" else f"{figure.most:.2f}"
    if figure.most < 0.1:
        return "estimate <0.1"
    return f"estimate {figure.least:.1f}–{figure.most:.1f}"
