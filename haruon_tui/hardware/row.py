"""One line of the machine check."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Verdict = Literal["ok", "warning", "fails", "not applicable"]


@dataclass(frozen=True)
class Row:
    """What was looked at, found and needed, the verdict, and what to do when it is not good.

    `do` is empty when all is well. Else it contains every entry of `commands`, each a line for
    a shell, and of `settings`, each a line for haruon.toml such as `train.batch_size = 1`.
    """

    key: str
    title: str
    found: str
    needed: str
    verdict: Verdict
    do: str = ""
    commands: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    group: str = ""

    def as_dict(self) -> dict[str, Any]:
        """The fields as `haruon doctor --json` and hardware.json give them."""
        return asdict(self)
