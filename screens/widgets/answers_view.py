"""What the model in training answered to the fixed prompts, from the first look to the newest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.text import Text

from haruon_tui.screens.plain_text import one_line, plain

if TYPE_CHECKING:
    from haruon_tui.screens.history import Answer

MOST = 24
"""Answers shown to one prompt, evenly over the training, the first and the newest among them."""

_PROMPT_CHARACTERS = 200

NOTHING_YET = (
    "No sample answer yet. A training writes them every train.sample_every steps; 0 takes none."
)


def answers_text(answers: Sequence[Answer], most: int = MOST) -> Text:
    """By prompt, the answers with their steps, the newest first."""
    if not answers:
        return Text(NOTHING_YET)
    text = Text()
    for prompt in dict.fromkeys(answer.prompt for answer in answers):
        asked = one_line(prompt)
        cut = "…" if len(asked) > _PROMPT_CHARACTERS else ""
        text.append(f"{asked[:_PROMPT_CHARACTERS]}{cut}\n", style="bold")
        own = [answer for answer in answers if answer.prompt == prompt]
        for answer in reversed(_evenly(own, most)):
            text.append(f"step {answer.step:,}\n", style="italic")
            text.append(_indented(answer.text), style="not bold")
            text.append("\n")
        text.append("\n")
    text.rstrip()
    return text


def newest_text(answers: Sequence[Answer]) -> Text:
    """The newest answer to the first prompt, for a corner of the screen."""
    if not answers:
        return Text("")
    first = answers[0].prompt
    newest = next(answer for answer in reversed(answers) if answer.prompt == first)
    text = Text(f"What it answers at step {newest.step:,} (v shows all)\n", style="dim")
    text.append(plain(newest.text).strip() or "(nothing)", style="not dim")
    return text


def _indented(text: str) -> str:
    lines = [line for line in plain(text).splitlines() if line.strip()]
    return "\n".join(f"  {line}" for line in lines) or "  (nothing)"


def _evenly(answers: list[Answer], most: int) -> list[Answer]:
    if len(answers) <= most:
        return answers
    last = len(answers) - 1
    return [answers[round(n * last / (most - 1))] for n in range(most)]
