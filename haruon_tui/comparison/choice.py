"""Which of the quantizations to take, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from haruon_tui.comparison.phone import Figure, Phones, budget

Row = dict[str, Any]

TOLERATED_LOSS = 0.05
"""Of perplexity over the baseline's. Q4_K_M costs Qwen2.5-1.5B 3.1 %, Q4_0 6.6 %."""


@dataclass(frozen=True)
class Choice:
    """The file to take, None where no row can be taken, and a sentence with the reason."""

    file: str | None
    sentence: str


def divergence(row: Row) -> float | None:
    """Mean KL divergence from the baseline in nats; None where it was not measured."""
    quality = row.get("quality")
    return float(quality["divergence"][0]) if quality else None


def pareto(rows: Sequence[Row]) -> list[str]:
    """The files of which no other one is both smaller and closer to the baseline, the smallest
    first."""
    measured = [
        (row["bytes"], loss, row["file"]) for row in rows if (loss := divergence(row)) is not None
    ]
    front: list[str] = []
    least = float("inf")
    for _, loss, file in sorted(measured):
        if loss < least:
            front.append(file)
            least = loss
    return front


def choose(rows: Sequence[Row], known: Phones) -> Choice:
    """The file closest to the baseline among those that keep the limits of the target phone, then
    among those that may keep them, then the smallest."""
    usable = [
        row
        for row in rows
        if "error" not in row and divergence(row) is not None and row.get("buffers")
    ]
    if not usable:
        return Choice(None, "No file has quality figures: nothing can be recommended.")
    phone = known.target
    figures = {row["file"]: budget(row, phone, known) for row in usable}

    def fits(*verdicts: str) -> list[Row]:
        return [row for row in usable if all(f.verdict in verdicts for f in figures[row["file"]])]

    for words, group in (
        (f"keeps every limit of the {phone.name}", fits("kept")),
        (f"may keep every limit of the {phone.name} (times are estimates)", fits("kept", "open")),
    ):
        if group:
            best = min(group, key=lambda row: (divergence(row), row["bytes"]))
            return Choice(best["file"], f"Take {best['type']}: {_reason(best, group, words)}.")
    smallest = min(usable, key=lambda row: row["bytes"])
    broken = next(f for f in figures[smallest["file"]] if f.verdict == "broken")
    return Choice(
        smallest["file"],
        f"No file keeps the limits of the {phone.name}; {smallest['type']} is the smallest, and "
        f"{_over(broken)}.",
    )


def _reason(best: Row, group: Sequence[Row], words: str) -> str:
    ratio = best["quality"]["perplexity_ratio"][0]
    loss = (
        f"perplexity {round(100 * (ratio - 1), 1) + 0.0:+.1f} %, divergence {divergence(best):.2g}"
    )
    if len(group) == 1:
        return f"it alone {words} ({loss})"
    warning = "" if ratio - 1 <= TOLERATED_LOSS else "; read its reports first"
    them = f"of the {len(group)} that {words.replace('keeps', 'keep', 1)}"
    return f"{them} it is closest to the baseline ({loss}){warning}"


def _over(figure: Figure) -> str:
    if figure.unit == "bytes":
        return f"its {figure.name} takes {figure.least / 1e9:.2f} of {figure.limit / 1e9:.2f} GB"
    return f"{figure.name} takes {figure.least:.0f} to {figure.most:.0f} of {figure.limit:.0f} s"
