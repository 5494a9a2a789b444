"""What report mode shows as text: the report with its findings marked, the checks, the tally."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from rich.text import Text
from textual.content import Content

from haruon_tui.dataset.persona import TRAITS
from haruon_tui.screens.plain_text import one_line, plain

REPORT_PATH = "$.messages[2].content"
"""As haruon_tui.chat.report_watch has it, which no screen imports at its start."""

MARKS = {"waiting": "·", "passed": "✓", "warning": "!", "failed": "✗"}
_COLOURS = {
    "waiting": "dim",
    "passed": "$text-success",
    "warning": "$text-warning",
    "failed": "$text-error",
    "error": "$text-error",
}
_NAMES = {
    "title": "Title",
    "opening": "Opening",
    "summary": "Summary",
    **{trait.key: trait.korean for trait in TRAITS},
    "sections": "All there, in order",
    "form": "Form of the headings",
    "forbidden": "Nothing forbidden",
    "quotes": "Quotes were said",
    "length": "Length",
    "text": "Clean text",
    "style": "Style",
    "answers": "The five answers",
    "stopped": "Stopped by itself",
}
_ON_ONE_LINE = ("title", "opening", "summary")
_RATES = (
    ("complete", "complete"),
    ("valid", "valid"),
    ("safe", "safe"),
    ("stopped", "stopped"),
    ("levels", "levels_exact"),
    ("±1 step", "levels_within_one"),
)

Check = dict[str, Any]
Finding = dict[str, Any]


def report_text(text: str, findings: Sequence[Finding], *, writing: bool) -> Content:
    """The report, each finding marked where it stands and explained below."""
    pieces: list[tuple[str, str]] = []
    here = [one for one in findings if one["path"] == REPORT_PATH and one["start"] is not None]
    numbers = {id(one): number for number, one in enumerate(findings, start=1)}
    edges = {0, len(text)} | {at for one in here for at in (one["start"], one["end"])}
    for start, end in pairwise(sorted(at for at in edges if at <= len(text))):
        covering = [one for one in here if one["start"] <= start and end <= one["end"]]
        worst = "error" if any(one["severity"] == "error" for one in covering) else "warning"
        style = f"bold underline {_COLOURS[worst]}" if covering else ""
        pieces.append((plain(text[start:end]), style))
        pieces += [
            (f"[{numbers[id(one)]}]", f"bold {_COLOURS[one['severity']]}")
            for one in covering
            if one["end"] == end
        ]
    if writing:
        pieces.append(("▌", ""))
    pieces.append(("\n", ""))
    for one in findings:
        style = _COLOURS[one["severity"]]
        named = f"\n[{numbers[id(one)]}] {one['severity']} {one_line(one['rule'])}: "
        pieces += [(named, style), (one_line(one["message"]), "")]
        if one["suggestion"]:
            pieces.append((f"\n    → {one_line(one['suggestion'])}", "italic"))
    return Content.assemble(*pieces)


def checks_text(checks: Sequence[Check], characters: int) -> Content:
    """One line for each check, one for the parts that have no level; that of the answers only
    where it has something to say."""
    pieces: list[tuple[str, str]] = []
    for check in checks:
        if check["name"] in _ON_ONE_LINE:
            state = check["state"]
            pieces.append((f"{MARKS[state]} {_NAMES[check['name']]}  ", _COLOURS[state]))
    pieces.append(("\n", ""))
    for check in checks:
        name, state, words = check["name"], check["state"], one_line(check["words"])
        if name in _ON_ONE_LINE or (name == "answers" and not words):
            continue
        if name == "length" and not words and characters:
            words = f"{characters} characters"
        pieces.append((f"{MARKS[state]} {_NAMES.get(name, name)}", _COLOURS[state]))
        pieces.append((f"  {words}\n" if words else "\n", "" if state != "waiting" else "dim"))
    return Content.assemble(*pieces) if checks else Content("")


def tally_text(tally: Any, total: int, model: str) -> Text:
    """A Tally (haruon_tui.chat.verdicts) of a set of `total` cases."""
    text = Text(f"{one_line(model)}: {tally.reports} of {total} cases written\n", style="bold")
    if not tally.reports:
        text.append("\nNo report of the set yet: n takes the next case.\n", "not bold")
        return text
    said = tally.verdicts
    text.append(
        f"\nyour verdicts  ✓ {said['good']} good  ✗ {said['bad']} bad  ? {said['unsure']} unsure"
        f"  · {said['none']} without\n",
        "not bold",
    )
    for name, group in tally.groups.items():
        text.append(f"\n{one_line(name)}  ({group.cases} reports)\n", "bold")
        for label, rate in _RATES:
            text.append(f"  {label:<10}{getattr(group, rate)}\n", "not bold")
        text.append(
            f"  {'length':<10}{group.mean_characters:.0f} characters, "
            f"{group.mean_tokens:.0f} tokens on average\n",
            "not bold",
        )
    text.append("\nThe rates are those of `haruon evaluate` on these reports.\n", "italic")
    for case, note in tally.notes:
        text.append(f"\n{one_line(case)}: ", "bold").append(one_line(note), "not bold")
    return text
