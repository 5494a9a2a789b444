"""How the values of a card are written, and its tables."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from haruon_tui.comparison.export import escaped


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = (head, ["---"] * len(head), *rows)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def count(value: float) -> str:
    """`3,739,904`; a fraction is rounded."""
    return f"{round(value):,}"


def percent(value: float) -> str:
    """`95.0%`."""
    return f"{value:.1%}"


def loss(value: float) -> str:
    """Four digits behind the point."""
    return f"{value:.4f}"


def speed(value: Any) -> str:
    """`132±5`, or `7.4±0.2` where it is slow."""
    digits = 0 if value["mean"] >= 100 else 1
    return f"{value['mean']:,.{digits}f}±{value['sd']:,.{digits}f}"


def code(value: str) -> str:
    """In the type of code."""
    return f"`{value}`"


def plain(value: Any) -> str:
    """A setting as it stands in haruon.toml."""
    return escaped(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
