"""A canvas of braille cells: two dots wide and four high each."""

from __future__ import annotations

_BITS = ((0x40, 0x80), (0x04, 0x20), (0x02, 0x10), (0x01, 0x08))
"""Of a cell's dots, from its lowest row up, left and right (Unicode 2800-28FF)."""


class Braille:
    """Dots count from the left and from the bottom; those outside are left out."""

    def __init__(self, columns: int, rows: int) -> None:
        self.columns, self.rows = columns, rows
        self.width, self.height = 2 * columns, 4 * rows
        self._cells = bytearray(columns * rows)

    def line(self, x0: int, y0: int, x1: int, y1: int) -> None:
        """A line with a dot in every column (or row, where it is steep)."""
        across, up = x1 - x0, y1 - y0
        steps = max(abs(across), abs(up))
        for n in range(steps + 1):
            share = n / steps if steps else 0.0
            self.dot(round(x0 + share * across), round(y0 + share * up))

    def column(self, x: int, low: int, high: int) -> None:
        """The dots of one column from `low` to `high`."""
        for y in range(max(0, low), min(self.height - 1, high) + 1):
            self.dot(x, y)

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
