"""A canvas of braille cells: two dots wide and four high each."""

from __future__ import annotations

_BITS = ((0x40, 0x80), (0x04, 0x20), (0x02, 0x10), (0x01, 0x08))
"""Of a cell's dots, from its lowest row up, left and right (Unicode 2800-28FF)."""

_COLUMNS = tuple(
    tuple(
        tuple(sum(_BITS[y][side] for y in range(first, last + 1)) for last in range(4))
        for first in range(4)
    )
    for side in range(2)
)
"""The dots of one side of a cell from a first to a last row."""


class Braille:
    """Dots count from the left and from the bottom; those outside are left out."""

    def __init__(self, columns: int, rows: int) -> None:
        self.columns, self.rows = columns, rows
        self.width, self.height = 2 * columns, 4 * rows
        self._cells = bytearray(columns * rows)

    def join(self, x0: int, y0: int, x1: int, y1: int) -> None:
        """Connect two points; those of neighbouring columns by what each column has of the way."""
        if x1 - x0 > 1:
            self.line(x0, y0, x1, y1)
            return
        middle = (y0 + y1) // 2
        self.column(x0, min(y0, middle), max(y0, middle))
        self.column(x1, min(y1, middle), max(y1, middle))

    def line(self, x0: int, y0: int, x1: int, y1: int) -> None:
        """A line with a dot in every column (or row, where it is steep)."""
        across, up = x1 - x0, y1 - y0
        steps = max(abs(across), abs(up))
        for n in range(steps + 1):
            share = n / steps if steps else 0.0
            self.dot(round(x0 + share * across), round(y0 + share * up))

    def column(self, x: int, low: int, high: int) -> None:
        """The dots of one column from `low` to `high`."""
        low, high = max(0, low), min(self.height - 1, high)
        if low > high or not 0 <= x < self.width:
            return
        bits = _COLUMNS[x % 2]
        for row in range(low // 4, high // 4 + 1):
            first, last = max(0, low - 4 * row), min(3, high - 4 * row)
            self._cells[(self.rows - 1 - row) * self.columns + x // 2] |= bits[first][last]

    def dot(self, x: int, y: int) -> None:
        if 0 <= x < self.width and 0 <= y < self.height:
            cell = (self.rows - 1 - y // 4) * self.columns + x // 2
            self._cells[cell] |= _BITS[y % 4][x % 2]

    def row(self, row: int) -> bytes:
        """The cells of a row, the top one first; 0 is an empty cell."""
        return bytes(self._cells[row * self.columns : (row + 1) * self.columns])


def character(cell: int) -> str:
    """The braille character of a cell."""
    return chr(0x2800 + cell)
