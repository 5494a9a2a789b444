"""What the self-test measured, with bars against what the devices could do at most."""

from __future__ import annotations

from typing import Any

from rich.cells import set_cell_size
from rich.text import Text

from haruon_tui.screens.plain_text import one_line
from haruon_tui.screens.widgets.job_panel import progress_bar

_BAR_CELLS = 20
NOTHING_YET = "Nothing was measured here yet: press b."


def measured_text(result: dict[str, Any] | None, at: str = "") -> Text:
    """The stage's result as it stands in its run: by device, one line for each measurement."""
    measured = (result or {}).get("measured")
    if not isinstance(measured, list):
        return Text(NOTHING_YET)
    text = Text(f"Measured {at}" if at else "Measured", style="dim")
    device = None
    for one in measured:
        if one["device"] != device:
            device = one["device"]
            text.append(f"\n\n{one_line(device)}", style="bold not dim")
        text.append(f"\n  {set_cell_size(one_line(one['what']), 22)}", style="not dim")
        value, peak = one.get("value"), one.get("peak")
        if value is None:
            text.append(f"N/A: {one_line(one.get('problem', ''))}", style="not dim")
            continue
        text.append(f"{_figure(value):>8} {one['unit']:<8}", style="bold not dim")
        if peak:
            text.append(f"{progress_bar(value / peak, _BAR_CELLS)} ", style="not dim")
            text.append(f"{value / peak:.0%} of {_figure(peak)}", style="not dim")
    notes = dict.fromkeys(one["note"] for one in measured if one.get("note"))
    for note in notes:
        text.append(f"\n\nPeak: {one_line(note)}.", style="dim")
    return text


def _figure(value: float) -> str:
    digits = 0 if value >= 100 else 1 if value >= 10 else 2 if value >= 1 else 3
    return f"{value:.{digits}f}"
