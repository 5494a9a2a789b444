"""The words below the comparison table: the recommendation, warnings, reasons, the proof."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.text import Text

from haruon_tui.comparison.choice import choose
from haruon_tui.comparison.columns import MARKS, amount, size
from haruon_tui.comparison.phone import Figure, Phones, budget
from haruon_tui.comparison.rows import Row, load_note
from haruon_tui.screens.plain_text import one_line

_BAR_CELLS = 24
_LIMIT_AT = 16
"""The cell of a bar that stands for the limit."""


def choice_text(rows: Sequence[Row], known: Phones) -> Text:
    """Which file to take and why, what to mind, and why files failed."""
    lines: list[tuple[str, str]] = []
    if any("quality" in row for row in rows):
        lines.append((choose(rows, known).sentence, "bold"))
    if note := load_note(list(rows)):
        lines.append((note, "bold" if note.startswith("!") else "dim"))
    for row in rows:
        if "error" in row:
            lines.append((f"✗ {row.get('type')}: {row['error']}", "bold"))
        elif "no_quality" in row:
            lines.append((f"{row.get('type')}: no quality figures: {row['no_quality']}", ""))
    return Text("\n").join(Text(one_line(line), style=style) for line, style in lines)


def proof_text(proof: Sequence[dict[str, Any]]) -> Text:
    """The proof of the conversion as a checklist."""
    text = Text()
    if proof:
        text.append("Proof that the F16 file behaves as the model\n", "bold")
    for check in proof:
        sign = "✓" if check.get("ok") else "✗"
        line = f"{sign} {one_line(check.get('name'))}: {one_line(check.get('detail'))}\n"
        text.append(line, "" if check.get("ok") else "bold")
    return text


def phone_text(rows: Sequence[Row], known: Phones) -> Text:
    """The limits of the phone: a group for each, a bar for each file, up to what it takes and,
    lighter, up to what it may take; the limit is a line in it."""
    phone = known.target
    text = Text(f"{phone.name} ({phone.chip})", style="bold")
    text.append("  p: another phone", style="dim not bold")
    budgets = [
        (str(row.get("type")), budget(row, phone, known)) for row in rows if row.get("buffers")
    ]
    if not budgets:
        text.append("\nNothing was measured yet: compare measures every file.", style="not bold")
        return text
    width = max(len(kind) for kind, _ in budgets)
    for at, of in enumerate(budgets[0][1]):
        kind = "estimate" if of.estimated else "measured"
        text.append(f"\n{of.name}", style="bold")
        text.append(f", {kind}, limit {_limit(of)}", style="not bold")
        for name, figures in budgets:
            figure = figures[at]
            text.append(f"\n {one_line(name):<{width}} {bar(figure)} ", style="not bold")
            text.append(
                f"{MARKS[figure.verdict]} {amount(figure)}{' s' if figure.estimated else ''}",
                style="not bold" if figure.verdict == "kept" else "bold",
            )
    least, most = known.efficiency
    low, high = phone.storage_gb_per_s
    text.append(
        f"\nEstimates: time per token = (bytes of the tensors + of the cache) / "
        f"({phone.memory_gb_per_s} GB/s × {least}–{most}); load = file / {low}–{high} GB/s. "
        f"{phone.source}. ✓ kept, ? inside the range, ✗ broken.",
        style="dim not bold",
    )
    return text


def bar(figure: Figure) -> str:
    """`████████▒▒      │       `: what is taken at least, at most, and the limit."""
    per_cell = figure.limit / _LIMIT_AT

    def cells(amount: float) -> int:
        return min(_BAR_CELLS, round(amount / per_cell)) if per_cell else _BAR_CELLS

    least = max(1, cells(figure.least))
    most = max(least, cells(figure.most))
    drawn = list("█" * least + "▒" * (most - least) + " " * (_BAR_CELLS - most))
    drawn.insert(_LIMIT_AT, "│")
    if figure.most > figure.limit * _BAR_CELLS / _LIMIT_AT:
        drawn[-1] = "»"
    return "".join(drawn)


def _limit(figure: Figure) -> str:
    return size(figure.limit) if figure.unit == "bytes" else f"{figure.limit:g} s"
