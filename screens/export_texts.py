"""What the Export screen says: what would be written, and what lies there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.text import Text

from haruon_tui.screens.plain_text import one_line, plain

if TYPE_CHECKING:
    from haruon_tui.export.choice import Candidate, Readiness

_VERDICTS = {"kept": "✓", "open": "?", "broken": "✗"}
_FIGURES = ("complete", "levels_exact", "levels_within_one", "safe", "grounded", "stopped")
"""The figures of an evaluation that decide whether a model is good enough for an app."""


def chosen_of(ready: Readiness, wanted: str | None) -> Candidate | None:
    """The GGUF that would be exported."""
    if wanted is None:
        return ready.recommended
    return next((one for one in ready.candidates if one.type == wanted), None)


def offer_text(ready: Readiness, wanted: str | None, out: Path) -> Text:
    """What r would write, and what is missing for it."""
    text = Text()
    chosen = chosen_of(ready, wanted)
    if chosen is None:
        text.append("No file is chosen: o chooses one", style="bold")
        text.append(f" ({', '.join(one.type for one in ready.candidates)}).")
    else:
        text.append(f"r writes {chosen.type}", style="bold")
        text.append(f" ({chosen.bytes / 1e6:,.1f} MB) with its kit to {plain(str(out))}")
    if ready.reason:
        text.append(f"\n{plain(ready.reason)}")
    for note in ready.notes:
        text.append(f"\n! {plain(note)}")
    return text


def exported_text(manifest: dict[str, Any]) -> Text:
    """What a finished export holds, from its manifest."""
    model = manifest["model"]
    text = Text("In the folder now", style="bold")
    _row(text, "model", f"{model['file']}, {model['bytes']:,} bytes, {model['architecture']}")
    _evaluation(text, manifest["evaluation"])
    _phone(text, manifest["phone"])
    proof, rules = manifest["proof"], manifest["rules"]
    for name, value in (
        ("prompt", _fits(manifest)),
        ("proof", f"{sum(line['ok'] for line in proof)} of {len(proof)} lines hold"),
        (
            "rules",
            f"{rules['name']}; {len(rules['approximated'])} by the written form, "
            f"{len(rules['left_out'])} left out",
        ),
        ("stops at", " ".join(manifest["stop"])),
        ("files", f"{len(manifest['files'])}, with the kit for React Native"),
        ("sha256", model["sha256"]),
        ("made by", manifest["job"]),
    ):
        _row(text, name, value)
    return text


def _fits(manifest: dict[str, Any]) -> str:
    fits = manifest["fits"]
    return (
        f"at most {fits['longest_prompt_tokens']} tokens in {fits['cases']} cases; "
        f"{manifest['max_tokens']} more fit the context of {manifest['context']}"
    )


def _evaluation(text: Text, found: dict[str, Any]) -> None:
    if "models" not in found:
        _row(text, "evaluated", f"! {found['state']}: {found['do']}")
        return
    for name, figures in found["models"].items():
        shown = [
            f"{key.replace('_', ' ')} {figures[key]['mean']:.0%}"
            for key in _FIGURES
            if key in figures
        ]
        _row(text, "evaluated", f"{name}: {', '.join(shown)}")


def _phone(text: Text, found: dict[str, Any]) -> None:
    if "limits" not in found:
        _row(text, "phone", f"! {found['state']}: {found['do']}")
        return
    shown = [
        f"{_VERDICTS[one['verdict']]} {one['name']} {_amount(one)}" for one in found["limits"]
    ]
    _row(text, "phone", f"{found['phone']}: {', '.join(shown)}")


def _amount(limit: dict[str, Any]) -> str:
    if limit["unit"] == "bytes":
        return f"{limit['most'] / 1e9:.2f} of {limit['limit'] / 1e9:.2f} GB"
    return f"{limit['least']:.1f}–{limit['most']:.1f} of {limit['limit']:.0f} s"


def _row(text: Text, name: str, value: str) -> None:
    text.append(f"\n{name:<10}", style="not bold dim")
    text.append(one_line(value), style="not bold")
