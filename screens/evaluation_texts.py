"""What the Evaluate screen shows, as rows and texts: figures, one report, levels, comparison."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.cells import cell_len
from rich.text import Text

from haruon_tui.dataset.persona import LEVELS, TRAITS
from haruon_tui.evaluation import results
from haruon_tui.evaluation.difference import CaseChange, Difference, Line
from haruon_tui.evaluation.figures import FIGURES, written
from haruon_tui.evaluation.summary import ALL, NO_LEVEL
from haruon_tui.screens.plain_text import one_line, plain

_MAX_CHARACTERS = 20_000
_MOST_CASES = 8
_LEVEL_CELLS = 9


def figure_rows(result: dict[str, Any]) -> list[tuple[str, ...]]:
    """The evaluation's Result as rows: measure, then a cell per model with the mean and the ends
    of its interval. A group's name stands alone."""
    models = results.models_of(result)
    if not models:
        return []
    last = list(models.values())[-1]
    groups = [ALL, *(group for group in last["groups"] if group != ALL)]
    rows: list[tuple[str, ...]] = []
    for group in groups if len(groups) > 2 else [ALL]:
        cases = last["groups"][group]["cases"]
        rows.append((f"{one_line(group)} ({cases} cases)", *("" for _ in models)))
        rows += [
            (f"  {figure.title}", *(_cell(model, figure.key, group) for model in models.values()))
            for figure in FIGURES
        ]
    qualities = list(last["groups"][ALL].get("persona", {}))
    rows.append(("persona qualities", *("" for _ in models)))
    rows += [
        (f"  {one_line(name)}", *(_quality(model, name) for model in models.values()))
        for name in qualities
    ]
    for name, scores in _judged(result).items():
        rows.append((name, *scores))
    rows.append(("tokens per second", *(_speed(model) for model in models.values())))
    rows.append(("ran on", *(one_line(model.get("ran_on", "")) for model in models.values())))
    return rows


def _cell(model: dict[str, Any], key: str, group: str) -> str:
    found = results.estimate(model, key, group)
    if found is None:
        return "–"
    mean, low, high = (written(key, value) for value in (found.mean, found.low, found.high))
    return f"{mean}  {low} – {high}" if low != high else mean


def _quality(model: dict[str, Any], name: str) -> str:
    value = model["groups"][ALL].get("persona", {}).get(name)
    return "–" if value is None else f"{value:.2f}"


def _judged(result: dict[str, Any]) -> dict[str, list[str]]:
    """The judge's scores by criterion, a cell per model, under a heading of their own."""
    judged = result.get("judged") or {}
    names = list(results.models_of(result))
    keys = list(dict.fromkeys(key for scores in judged.values() for key in scores))
    if not keys:
        return {}
    rows = {"the judge's opinion, 1 to 5": ["" for _ in names]}
    for key in keys:
        values = [judged.get(name, {}).get(key) for name in names]
        shown = "{:.0f}" if key == "reports" else "{:.2f}"
        rows[f"  {one_line(key)}"] = ["–" if one is None else shown.format(one) for one in values]
    return rows


def _speed(model: dict[str, Any]) -> str:
    speed = model.get("tokens_per_second")
    return f"{speed:,.0f}" if speed else "–"


def mark(line: Line | None) -> str:
    """Whether the report is complete, and its levels right of those asked for."""
    if line is None:
        return "–"
    traits = line["score"]["traits"].values()
    right = sum(one["found"] == one["expected"] for one in traits)
    return f"{'✓' if line['score']['complete'] else '✗'} {right}/{len(traits)}"


def worst_reason(line: Line | None) -> str:
    """The first thing that is wrong with a report."""
    return one_line(line["reasons"][0]) if line and line["reasons"] else ""


def report_text(model: str, line: Line | None) -> Text:
    """A written report: how it ended, its text, what is wrong with it, its levels beside the
    answers that they were to be read from."""
    text = Text(one_line(model), style="bold")
    if line is None:
        return text
    score = line["score"]
    complete = "complete" if score["complete"] else "incomplete"
    ended = "stopped by itself" if score["stopped"] else "cut at the limit"
    text.append(f"  {complete}, {score['tokens']} tokens, {ended}", "not bold")
    shown = plain(str(line["text"])[:_MAX_CHARACTERS])
    text.append(f"\n\n{shown or '(nothing)'}\n", "not bold")
    for reason in line["reasons"]:
        text.append(f"\n✗ {one_line(reason)}", "not bold")
    text.append("\n")
    for trait in TRAITS:
        if trait.key in score["traits"]:
            text.append(f"\n{_level(trait.korean, score['traits'][trait.key])}", "not bold")
            answer = one_line(line.get("answers", {}).get(trait.key, ""))
            text.append(f"\n  {answer}", "dim not bold")
    return text


def _level(trait: str, one: dict[str, Any]) -> str:
    expected, found = one_line(one["expected"]), one["found"]
    if found == one["expected"]:
        return f"✓ {trait} {expected}"
    return f"✗ {trait} {one_line(found) if found else 'no level'}, expected {expected}"


def levels_text(name: str, model: dict[str, Any]) -> Text:
    """How often each level was found (columns) where another was expected (rows), by trait."""
    text = Text(f"{one_line(name)}: expected (rows) and found (columns)", style="bold")
    group = model["groups"][ALL]
    columns = [*LEVELS, NO_LEVEL]
    for trait in TRAITS:
        rows = group.get("confusion", {}).get(trait.key, {})
        right = group["levels_by_trait"].get(trait.key, {})
        text.append(f"\n\n{trait.korean} ({trait.english})", "bold")
        text.append(f"  {right.get('hits', 0)}/{right.get('total', 0)} right\n", "not bold")
        heads = "".join(_padded(level.replace(" ", "")) for level in columns)
        text.append(_padded("") + heads.rstrip(), "dim not bold")
        for expected, counts in rows.items():
            text.append(f"\n{_padded(expected.replace(' ', ''))}", "not bold")
            for level in columns:
                count = counts.get(level, 0)
                style = "bold" if level == expected else "not bold"
                shown = str(count) if count else "·"
                text.append(shown if level == NO_LEVEL else _padded(shown), style)
    return text


def _padded(text: str) -> str:
    return text + " " * (_LEVEL_CELLS - cell_len(text))


def difference_text(found: Difference, before: str, after: str) -> Text:
    """What got better and worse: the figures, then the cases with the reasons."""
    text = Text(f"{one_line(before)} → {one_line(after)}\n", style="bold")
    text.append(found.summary, "not bold")
    for change in found.figures:
        if change.verdict == "same":
            continue
        values = f"{written(change.key, change.before)} → {written(change.key, change.after)}"
        sign = {"better": "▲", "worse": "▼"}.get(change.verdict, " ")
        style = "bold" if sign != " " else "dim not bold"
        text.append(f"\n{sign} {change.title:<24}{values:<20}{change.verdict}", style)
    for word, changes in (("worse", found.worse), ("better", found.better)):
        for case in changes[:_MOST_CASES]:
            text.append(f"\n{word}: {one_line(case.case)}: {_why(word, case)}", "not bold")
    if found.only_before or found.only_after:
        text.append(f"\n{results.not_compared(found.only_before, found.only_after)}", "not bold")
    return text


def _why(word: str, change: CaseChange) -> str:
    reasons: Sequence[str] = change.come if word == "worse" else change.gone
    return one_line("; ".join(reasons)) or "a little"
