"""The two bases side by side, what the choice means, and the one that is marked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text
from textual.widgets import Static

from haruon_tui.screens.plain_text import one_line

if TYPE_CHECKING:
    from haruon_tui.model.choices import Choice


class BaseChoice(Static):
    """Shows the meaning of the marked one, then a table of facts."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__("", id=id, markup=False)
        self._choices: tuple[Choice, ...] = ()
        self._marked = 1
        self._base = ""

    @property
    def marked(self) -> Choice | None:
        """The base that the cursor is on."""
        return self._choices[self._marked] if self._choices else None

    def show(self, base: str) -> None:
        """Show the comparison; `base` is the one that haruon.toml names."""
        from haruon_tui.model.choices import choices

        if not self._choices or base != self._base:
            self._choices = self._choices or choices()
            self._base = base
            self._draw()

    def mark(self, step: int) -> None:
        """Move the mark; it stops at the ends."""
        if self._choices:
            self._marked = max(0, min(len(self._choices) - 1, self._marked + step))
            self._draw()

    def _draw(self) -> None:
        self.update(comparison(self._choices, self._marked, self._base))


def comparison(both: tuple[Choice, ...], marked: int, base: str) -> Group:
    """What the marked one means, and the table. Marks are signs, so that colour is not needed."""
    from haruon_tui.model.choices import rows

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), expand=False)
    table.add_column("")
    for number, choice in enumerate(both):
        sign = "▶ " if number == marked else "  "
        style = "bold reverse" if number == marked else "bold"
        table.add_column(Text(sign + choice.name, style=style))
    for name, *values in rows(both):
        table.add_row(Text(name, style="dim"), *map(Text, values))
    used = ["✓ this workspace's" if choice.name == base else "" for choice in both]
    if any(used):
        table.add_row("", *map(Text, used))
    chosen = both[marked]
    words = Text(f"{chosen.name}: ", style="bold")
    words.append(chosen.meaning, style="not bold")
    keys = Text(f"← → marks, c makes it the base. Now: {one_line(base)}", style="dim")
    return Group(keys, words, table)
