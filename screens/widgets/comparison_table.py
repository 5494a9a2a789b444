"""The comparison as a table: a row per file, the first column stays when it scrolls."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text
from textual.widgets import DataTable

from haruon_tui.comparison.columns import Column
from haruon_tui.comparison.rows import Row
from haruon_tui.screens.plain_text import one_line

Cells = tuple[str, ...]


class ComparisonTable(DataTable[Text]):
    """Rows are known by their file. What is shown again without a change is left as it is."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id, cursor_type="row", fixed_columns=1, cell_padding=0)
        self._titles: Cells = ()
        self._cells: tuple[tuple[str, Cells], ...] = ()

    @property
    def file(self) -> str | None:
        """The file at the cursor."""
        at = self.cursor_row
        return self._cells[at][0] if at < len(self._cells) else None

    def show(
        self,
        rows: Sequence[Row],
        columns: Sequence[Column],
        *,
        sorted_by: str = "",
        reverse: bool = False,
        marked: Sequence[str] = (),
        measured: str = "",
    ) -> None:
        """Show the rows in this order. `marked` files have an asterisk, the file that is being
        `measured` a triangle; the column they are `sorted_by` has an arrow."""
        arrow = "▼" if reverse else "▲"
        titles = tuple(
            f"{column.title}{arrow if column.key == sorted_by else ''}" for column in columns
        )

        def first(row: Row) -> str:
            sign = "*" if row["file"] in marked else "▶" if row["file"] == measured else " "
            return f"{sign}{one_line(columns[0].cell(row))}"

        cells = tuple(
            (row["file"], (first(row), *(one_line(c.cell(row)) for c in columns[1:])))
            for row in rows
        )
        if (titles, cells) == (self._titles, self._cells):
            return
        file, across = self.file, self.scroll_offset.x
        if titles != self._titles:
            self.clear(columns=True)
            for column, title in zip(columns, titles, strict=True):
                self.add_column(Text(f"{title}  "), key=column.key)
        else:
            self.clear()
        self._titles, self._cells = titles, cells
        for name, line in cells:
            self.add_row(*(Text(f"{cell}  ") for cell in line), key=name)
        files = [name for name, _ in cells]
        if file in files:
            self.move_cursor(row=files.index(file))
        if across:
            self.call_after_refresh(self.scroll_to, x=across, animate=False)
