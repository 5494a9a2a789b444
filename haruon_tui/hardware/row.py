"""One line of the machine check."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

Verdict = Literal["ok", "warning", "fails", "not applicable"]


@dataclass(frozen=True)
class Row:
    """What was looked at, found and needed, the verdict, and what to do when it is not good.

    `do` names a command or a key of haruon.toml; it is empty when all is well.
    """

    key: str
    title: str
    found: str
    needed: str
    verdict: Verdict
    do: str = ""

    def as_dict(self) -> dict[str, str]:
        return asdict(self)
