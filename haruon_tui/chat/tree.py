"""A conversation as a tree: each turn is a question with its answer, and follows another turn.

An answer that is made again and a question that is changed are further turns after the same one,
so nothing that was said is lost.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from haruon_tui.chat.protocol import Message

ROOT = 0


@dataclass
class Turn:
    """A question and its answer. `parent` is the number of the turn before, ROOT for a first one;
    `reason` why the answer ended, `note` how it went, in one line. A `quoted` turn is shown, but
    is not part of what the model is told."""

    number: int
    parent: int
    prompt: str
    model: str
    system: str = ""
    sampling: dict[str, Any] = field(default_factory=dict)
    time: float = 0.0
    answer: str = ""
    reason: str = ""
    note: str = ""
    open: bool = True
    quoted: bool = False


class Tree:
    """The turns by number, in the order they were asked, and the one that is talked on from."""

    def __init__(self) -> None:
        self.turns: dict[int, Turn] = {}
        self.head = ROOT

    def add(
        self, prompt: str, model: str, system: str, sampling: dict[str, Any], parent: int
    ) -> Turn:
        """A new turn after `parent`; it is the head now."""
        number = max(self.turns, default=ROOT) + 1
        turn = Turn(number, parent, prompt, model, system, dict(sampling), round(time.time(), 3))
        self.turns[number] = turn
        self.head = number
        return turn

    def path(self, number: int | None = None) -> list[Turn]:
        """The turns from the first to `number`, without one to the head."""
        found: list[Turn] = []
        at = self.head if number is None else number
        while turn := self.turns.get(at):
            found.append(turn)
            at = turn.parent
        return found[::-1]

    def branches(self, turn: Turn) -> list[Turn]:
        """The turns after the same one, `turn` among them, the oldest first."""
        return [other for other in self.turns.values() if other.parent == turn.parent]

    def leaf(self, number: int) -> int:
        """Where the talk went on to from a turn: always the newest that followed."""
        while after := [turn.number for turn in self.turns.values() if turn.parent == number]:
            number = after[-1]
        return number

    def messages(self, turn: Turn, *, answered: bool = False) -> list[Message]:
        """What the model is told for a turn: the system prompt, what was said before, and the
        question; with `answered` the answer too."""
        system = [{"role": "system", "content": turn.system}] if turn.system else []
        said: list[Message] = []
        for before in self.path(turn.parent):
            if before.answer:
                said += _pair(before)
        own = _pair(turn)
        return [*system, *said, *(own if answered else own[:1])]


def _pair(turn: Turn) -> list[Message]:
    return [
        {"role": "user", "content": turn.prompt},
        {"role": "assistant", "content": turn.answer},
    ]
