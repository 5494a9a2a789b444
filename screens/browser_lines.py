"""The two lines above the browser's table, and what stands where there is nothing to read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from textual.content import Content

from haruon_tui.dataset.browser.search import Query
from haruon_tui.screens.browser_choices import COLUMNS, Filter, filter_words, needs_checks
from haruon_tui.screens.plain_text import one_line

Status = dict[str, Any]


def file_line(path: Path, status: Status, *, failed: bool = False) -> Content:
    """Name, size, and how far reading and checking are."""
    pieces: list[tuple[str, str]] = [(one_line(path.name), "bold")]
    if not status:
        return Content.assemble(*pieces, ("  not open" if failed else "  opening …", ""))
    lines = status["lines"]
    reading = "" if status["indexed"] else " so far"
    pieces.append((f"  {lines:,} lines{reading}  {_size(status['bytes'])}  ", ""))
    verdicts = status.get("verdicts", {})
    checked = status["checked"]
    if not lines:
        pass
    elif checked >= lines:
        pieces.append(("checked ", "dim"))
    else:
        going = "checking" if status["check_all"] else "c checks all:"
        pieces.append((f"{going} {checked:,} of {lines:,} ", "dim"))
    for name, symbol, style in (
        ("good", "✓", "$text-success"),
        ("warnings", "!", "$text-warning"),
        ("errors", "✗", "$text-error"),
        ("unreadable", "?", "$text-error"),
    ):
        if count := verdicts.get(name, 0):
            pieces.append((f" {symbol} {count:,}", style))
    if status["changed"]:
        pieces.append((f"  * {status['changed']:,} changed", "bold"))
    return Content.assemble(*pieces)


def state_line(
    status: Status,
    filter: Filter,
    sort: tuple[str, bool],
    query: Query | None,
    hit: dict[str, Any] | None,
) -> Content:
    """Filter, sort and search; else what there is to note."""
    words = []
    column, descending = sort
    if filter:
        words.append(f"only {filter_words(filter)}: {status.get('total', 0):,}")
    if (column, descending) != ("line", False):
        words.append(f"by {COLUMNS[column]} {'↓' if descending else '↑'}")
    if status and needs_checks(filter, column) and status["checked"] < status["lines"]:
        words.append(f"of {status['checked']:,} checked so far")
    if query is not None:
        words.append(_search(status.get("search"), query, hit))
    if status.get("note"):
        words.append(one_line(status["note"]))
    if status.get("problem"):
        words.append(f"no checks: {one_line(status['problem'])}")
    if status.get("stale_decisions"):
        words.append(f"{status['stale_decisions']} decisions no longer fit their lines")
    if not words:
        words.append("levels 1 lowest to 7, - none   Tab: read the record   ?: every key")
    return Content("  ·  ".join(words))


def no_rows(status: Status, filter: Filter, *, failed: bool = False) -> Content:
    """Why there is nothing to read, and what to do."""
    if failed:
        return Content("Nothing is open. o opens another file, Escape goes back.")
    if not status or not status["indexed"]:
        return Content("reading …")
    if filter and status["lines"]:
        if status["checked"] < status["lines"]:
            return Content("Nothing fits the filter among the lines checked so far.")
        return Content("Nothing fits the filter. F takes it away.")
    if status["bytes"] == 0:
        return Content(
            "The file is empty (0 bytes). Records appear here as soon as something is written "
            "to it. o opens another file."
        )
    return Content("No complete line yet. Records appear here as they are written.")


def _search(search: dict[str, Any] | None, query: Query, hit: dict[str, Any] | None) -> str:
    shown = f"/{query.text}/" if query.regex else f"«{query.text}»"
    words = one_line(shown)
    if search is None:
        return f"{words} …"
    if not search["done"]:
        return f"{words}: {search['count']:,} so far, {search['part']:.0%}  Esc stops"
    rank = f"{hit['rank']:,} of " if hit and hit["position"] is not None else ""
    part = "" if search["part"] >= 1 else f", stopped at {search['part']:.0%}"
    round_ = ", from the other end" if hit and hit["wrapped"] and search["count"] > 1 else ""
    return f"{words}: {rank}{search['count']:,} records{round_}{part}"


def _size(count: int) -> str:
    value = float(count)
    for unit in ("B", "KB", "MB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.2f} GB"
