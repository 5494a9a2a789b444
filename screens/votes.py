"""Votes as the screen keeps them: written in order by a thread of their own."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from rich.text import Text

from haruon_tui.screens.plain_text import one_line


class VoteWriter:
    """Adds votes to the workspace's file. `then` is called in the thread: with None once the vote
    is on the disk, else with what is wrong."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._threads = ThreadPoolExecutor(1, "votes")

    def add(self, line: dict[str, Any], then: Callable[[str | None], object]) -> None:
        def work() -> None:
            from haruon_tui.chat import votes
            from haruon_tui.errors import HaruonError

            wrong = None
            try:
                votes.add(self._folder, line)
            except HaruonError as error:
                wrong = str(error)
            with contextlib.suppress(RuntimeError):  # the event loop is gone
                then(wrong)

        with contextlib.suppress(RuntimeError):  # it is closed
            self._threads.submit(work)

    def close(self) -> None:
        """End once everything is written."""
        self._threads.shutdown(wait=False)


def tally_text(folder: Path) -> Text:
    """How often each model was chosen. Reads the disk."""
    from haruon_tui.chat import votes

    found = votes.read(folder)
    blind = sum(bool(vote.get("blind")) for vote in found)
    text = Text("Votes, side by side\n\n", style="bold")
    count = "1 vote" if len(found) == 1 else f"{len(found)} votes"
    text.append(f"{count}, {blind} of them with hidden names\n\n", style="not bold")
    for score in votes.scores(found):
        share = f"{score.chosen:>4} of {score.compared:<4}"
        text.append(f"{share} {one_line(score.name)}\n", style="not bold")
    neither = sum(vote.get("choice") == votes.NEITHER for vote in found)
    text.append(f"\nnone of them was better: {neither}\n", style="not bold")
    reasons = [vote for vote in found if vote.get("reason")][-10:]
    if reasons:
        text.append("\nThe last reasons\n", style="bold")
    for vote in reversed(reasons):
        chosen = [a for a in vote["answers"] if a["label"] == vote["choice"]]
        named = votes.name_of(chosen[0]["model"]) if chosen else "none"
        text.append(f"  {one_line(named)}: {one_line(vote['reason'])}\n", style="not bold")
    return text
