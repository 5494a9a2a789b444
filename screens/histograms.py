"""How the tokens and the levels of a dataset are spread, drawn with blocks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from rich.cells import cell_len
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from haruon_tui.dataset.persona import LEVELS, TRAITS
from haruon_tui.screens.widgets.job_panel import progress_bar
from haruon_tui.screens.widgets.key_line import KeyLine
from haruon_tui.styles import stylesheet

_SECONDS = 0.5
_BAR = 36


class HistogramScreen(ModalScreen[None]):
    """Closed by the key that opened it; grows while records are being checked."""

    CSS_PATH = stylesheet("histograms")
    BINDINGS: ClassVar = [
        Binding("escape", "dismiss", "Back"),
        Binding("h,q", "dismiss", "Back", show=False),
    ]

    def __init__(self, ask: Callable[..., None]) -> None:
        """`ask("histograms", then)` gives `then` the counts, later."""
        super().__init__()
        self._ask = ask

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="scroll"):
            yield Static("counting …", id="counts", markup=False)
        yield KeyLine()

    def on_mount(self) -> None:
        self._count()
        self.set_interval(_SECONDS, self._count)

    def _count(self) -> None:
        self._ask("histograms", self._show)

    def _show(self, counts: dict[str, Any]) -> None:
        if self.is_mounted:
            self.query_one("#counts", Static).update(histogram_text(counts))


def histogram_text(counts: dict[str, Any]) -> str:
    """Summaries.histograms and counts as lines of at most 74 cells."""
    checked, lines = counts["checked"], counts["lines"]
    so_far = "" if checked >= lines else f" of {lines:,}; the rest is being checked"
    made = [f"{checked:,} lines checked{so_far}", ""]
    exact = "" if counts["exact"] else " (at most: the workspace has no base model to count with)"
    made.append(f"Tokens per record{exact}")
    most = max((count for *_, count in counts["tokens"]), default=0)
    for low, high, count in counts["tokens"]:
        bar = progress_bar(count / most, _BAR).replace("░", " ") if most else ""
        made.append(f"{low:>7,} to {high:>6,} {count:>8,} {bar}")
    if not counts["tokens"]:
        made.append("  no record with messages yet")
    titles = [level.replace(" ", "") for level in LEVELS]
    made += ["", "Records per trait and level", " " * 6 + _cells(titles, "none")]
    for trait in TRAITS:
        none, *levels = (f"{count:,}" for count in counts["levels"][trait.key])
        made.append(trait.korean + _cells(levels, none))
    made += ["", "Findings: records per rule"]
    made += [f"{count:>9,}  {rule}" for rule, count in counts["rules"].items()] or ["  none"]
    return "\n".join(made)


def _cells(levels: list[str], none: str) -> str:
    """Seven columns of 9 cells and one of 5, right aligned; with a name of 6, 74 cells."""
    widths = [9] * len(levels) + [5]
    cells = zip([*levels, none], widths, strict=True)
    return "".join(" " * max(0, width - cell_len(text)) + text for text, width in cells)
