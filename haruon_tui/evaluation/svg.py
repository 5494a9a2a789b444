"""Charts as inline SVG. Colours come from the page's style by class, so that both themes work."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from html import escape

_ROW = 22
_BAR = 9
_LEFT = 170
_PLOT = 460
_RIGHT = 110
_CELL = 44

Dot = tuple[str, float, tuple[float, float] | None, str]
"""A model's class, its value 0 to 1, the interval, and the value in words."""


def intervals(rows: Sequence[tuple[str, Sequence[Dot]]], label: str) -> str:
    """Each row a name with one bar per model from 0 to 1 and a whisker for its interval."""
    heights = [max(_ROW, _BAR * len(dots) + 10 + 4 * len(dots)) for _, dots in rows]
    height = sum(heights) + 24
    parts = []
    for tick in range(0, 101, 25):
        x = _LEFT + _PLOT * tick / 100
        parts.append(f'<line class="grid" x1="{x:g}" y1="0" x2="{x:g}" y2="{height - 20}"/>')
        parts.append(_text(x, height - 6, f"{tick} %", "tick", "middle"))
    top = 0.0
    for (name, dots), room in zip(rows, heights, strict=True):
        parts.append(_text(_LEFT - 8, top + room / 2 + 4, name, "name", "end"))
        start = top + (room - (_BAR + 4) * len(dots)) / 2
        for place, (style, value, interval, words) in enumerate(dots):
            y = start + place * (_BAR + 4)
            width = _PLOT * min(1.0, max(0.0, value))
            parts.append(
                f'<rect class="{style}" x="{_LEFT}" y="{y:g}" width="{width:.1f}" '
                f'height="{_BAR}" rx="2"/>'
            )
            if interval:
                low, high = (_LEFT + _PLOT * min(1.0, max(0.0, end)) for end in interval)
                middle = y + _BAR / 2
                parts.append(
                    f'<path class="whisker" d="M{low:.1f} {middle - 4:g}v8M{low:.1f} {middle:g}'
                    f'H{high:.1f}M{high:.1f} {middle - 4:g}v8"/>'
                )
            parts.append(_text(_LEFT + _PLOT + 8, y + _BAR, words, "value", "start"))
        top += room
    return _svg(_LEFT + _PLOT + _RIGHT, height, label, parts)


def heatmap(
    rows: Sequence[str], columns: Sequence[str], counts: Sequence[Sequence[int]], label: str
) -> str:
    """Counts as cells, darker for more of the row; the diagonal of equal names is outlined."""
    left, top = 92, 34
    parts = [_text(left + _CELL * len(columns) / 2, 12, "found", "tick", "middle")]
    for place, name in enumerate(columns):
        parts.append(_text(left + _CELL * (place + 0.5), 28, name, "tick", "middle"))
    for at, (name, row) in enumerate(zip(rows, counts, strict=True)):
        y = top + 26 * at
        parts.append(_text(left - 6, y + 17, name, "name", "end"))
        total = sum(row)
        for place, count in enumerate(row):
            x = left + _CELL * place
            right = " right" if columns[place] == name else ""
            share = count / total if total else 0
            parts.append(
                f'<rect class="cell{right}" x="{x + 1}" y="{y + 1}" width="{_CELL - 2}" '
                f'height="24" fill-opacity="{share:.2f}"/>'
            )
            if count:
                style = "count dark" if share > 0.55 else "count"
                parts.append(_text(x + _CELL / 2, y + 17, str(count), style, "middle"))
    return _svg(left + _CELL * len(columns) + 4, top + 26 * len(rows) + 4, label, parts)


def _text(x: float, y: float, words: str, style: str, anchor: str) -> str:
    shown = escape(clean(words))
    return f'<text class="{style}" x="{x:g}" y="{y:g}" text-anchor="{anchor}">{shown}</text>'


def _svg(width: float, height: float, label: str, parts: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {width:g} {height:g}" width="{width:g}" role="img" '
        f'aria-label="{escape(clean(label))}">{"".join(parts)}</svg>'
    )


def clean(text: str) -> str:
    """Text without control characters, direction marks and lone surrogates; line breaks stay."""
    return "".join(
        char
        for char in text.replace("\r", "\n").replace("\t", "    ")
        if char == "\n" or unicodedata.category(char) not in ("Cc", "Cf", "Cs")
    )
