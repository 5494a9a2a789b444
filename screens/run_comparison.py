"""Trainings side by side: the parameters that differ, and what came of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from haruon_tui.jobs.curve import best
from haruon_tui.screens.history import duration, size
from haruon_tui.screens.plain_text import one_line
from haruon_tui.screens.widgets.chart import written

if TYPE_CHECKING:
    from haruon_tui.screens.history import History

NONE = "–"
_MISSING = object()

Row = tuple[str, list[str]]
"""A name, and a value for each run."""


@dataclass(frozen=True)
class Comparison:
    """`parameters` holds only those in which the runs differ."""

    runs: list[str]
    parameters: list[Row] = field(default_factory=list)
    results: list[Row] = field(default_factory=list)


def compare(histories: Sequence[History]) -> Comparison:
    """Compare trainings, finished or not. An input, such as the training file, differs when its
    content does."""
    asked = [_parameters(history) for history in histories]
    names = list(dict.fromkeys(name for one in asked for name in one))
    differing = []
    for name in names:
        values = [one.get(name, _MISSING) for one in asked]
        if any(value != values[0] for value in values[1:]):
            differing.append((name, [_shown(value) for value in values]))
    return Comparison([history.run.id for history in histories], differing, _results(histories))


def _parameters(history: History) -> dict[str, Any]:
    job = history.run.job
    found: dict[str, Any] = {}
    for name, value in job.params.items():
        if name == "settings" and isinstance(value, dict):
            found |= value
        elif name not in job.inputs:
            found[name] = value
    return found | {name: f"content {digest[-8:]}" for name, digest in job.inputs.items()}


def _shown(value: Any) -> str:
    if value is _MISSING:
        return NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _results(histories: Sequence[History]) -> list[Row]:
    lowest = [best(history.curves.get("eval_loss")) for history in histories]
    losses = [found[1] for found in lowest if found]
    evaluated = []
    for found in lowest:
        star = " ★" if found and len(losses) > 1 and found[1] == min(losses) else ""
        evaluated.append(f"{found[1]:.4f} at {found[0]}{star}" if found else NONE)
    gpu = [history.peak_gpu_memory for history in histories]
    rows = [
        ("state", [str(h.status.state) if h.status else NONE for h in histories]),
        ("steps", [_last_step(history) for history in histories]),
        ("final loss", [_last(history, "loss", ".4f") for history in histories]),
        ("final evaluation", [_last(history, "eval_loss", ".4f") for history in histories]),
        ("best evaluation", evaluated),
        ("time", [duration(h.seconds) if h.seconds else NONE for h in histories]),
        ("tokens/s", [_last(history, "tokens_per_second", ",.0f") for history in histories]),
        ("peak memory", [size(h.peak_memory) if h.peak_memory else NONE for h in histories]),
    ]
    if any(value is not None for value in gpu):
        rows.append(("peak GPU memory", [NONE if v is None else size(v) for v in gpu]))
    return rows


def _last(history: History, name: str, form: str) -> str:
    value = history.curves.last(name)
    return NONE if value is None else written(value, form)


def _last_step(history: History) -> str:
    steps = history.curves.get("loss").steps
    return f"{steps[-1]:,}" if steps else NONE


def comparison_table(compared: Comparison, letters: Sequence[str]) -> Table:
    """The comparison as a table; `letters` name the runs as the chart does."""
    table = Table(box=None, padding=(0, 2, 0, 0), show_edge=False)
    table.add_column("")
    for letter, run in zip(letters, compared.runs, strict=True):
        table.add_column(Text(f"{letter} {run[-4:]}".strip()), overflow="fold")
    for title, rows in (("parameters that differ", compared.parameters), ("", compared.results)):
        if title and not rows:
            table.add_row(Text("no parameter differs", style="italic"))
        elif title:
            table.add_row(Text(title, style="italic"))
        for name, values in rows:
            table.add_row(
                Text(one_line(name).replace("_", " "), style="dim"),
                *(Text(one_line(value)) for value in values),
            )
        table.add_row("")
    return table
