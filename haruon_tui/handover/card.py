"""The model card: a README.md for the Hub in which every value is one of a run's manifest.

What a card holds: https://huggingface.co/docs/hub/model-cards. Text that is not a value holds no
digit, so that no figure can stand in it that was not measured.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from haruon_tui import artifacts
from haruon_tui.comparison.export import escaped
from haruon_tui.errors import ConfigurationError
from haruon_tui.handover import made, measured
from haruon_tui.handover.forms import table
from haruon_tui.handover.sources import LOG, MANIFEST, UNKNOWN, Runs, Sources, Value

MARK = "<!-- made by haruon export card -->"

_LIMITS = """## Limits of use

- It is no medical device and makes no diagnosis. What it writes is a text about answers, not a
  measurement: the Big Five are scored with validated questionnaires, which it is none of.
- It is not for decisions about people: hiring, lending, insurance, schooling, custody, treatment.
- It gives no help in a crisis. An app that uses it has to show where help is to be had.
- It writes Korean, about answers in Korean, in the form that it was trained on. For any other
  request it was neither trained nor measured.
- It can state what was not said and quote what nobody wrote. Check what it writes by the rules of
  the app's kit before anyone reads it, and tell people that a model wrote it.
- The answers that people give are personal data. The model is made to run on their own device, so
  that these need not leave it."""


@dataclass(frozen=True)
class Card:
    """The card's text and every value in it."""

    text: str
    values: tuple[Value, ...]


def write(runs: Runs) -> Card:
    """Make the card. Raises StageError for a file that cannot be read, or was changed."""
    sources = Sources()
    parts = [
        _front_matter(runs, sources),
        MARK,
        _head(runs, sources),
        made.base(runs, sources),
        made.data(runs, sources),
        made.training(runs, sources),
        measured.evaluation(runs, sources),
        measured.files(runs, sources),
        measured.comparison(runs, sources),
        measured.proof(runs, sources),
        _LIMITS,
        _provenance(runs, sources),
    ]
    return Card("\n\n".join(parts) + "\n", tuple(sources.values))


def save(path: Path, text: str, *, replace: bool = False) -> None:
    """Write the card, over an earlier one too. Raises ConfigurationError."""
    try:
        if path.exists() and not replace and MARK not in path.read_text("utf-8", "replace"):
            raise ConfigurationError(
                "is there, and is no card that this program made",
                where=str(path),
                do="choose another name, or replace it (--force)",
            )
        artifacts.write_text(path, text)
    except OSError as error:
        raise ConfigurationError(
            f"cannot be written: {error.strerror or error}",
            where=str(path),
            expected="the name of a file, such as README.md",
        ) from error


def _front_matter(runs: Runs, sources: Sources) -> str:
    model = runs["model"]
    license = sources.take(model, LOG, "result", "card", "license", form=json.dumps)
    lines = [
        "---",
        f"license: {'unknown' if license == UNKNOWN else license}",
        "language: ko",
        "library_name: gguf",
        "pipeline_tag: text-generation",
    ]
    if sources.look(model, MANIFEST, "artifacts", "model", "commit"):  # it is on the Hub
        base = sources.take(model, MANIFEST, "params", "base", form=json.dumps)
        lines += [f"base_model: {base}", "base_model_relation: finetune"]
    return "\n".join([*lines, "tags: [gguf, llama.cpp, korean, big-five]", "---"])


def _head(runs: Runs, sources: Sources) -> str:
    name = sources.take(runs["convert"], MANIFEST, "params", "name", form=escaped)
    return f"""# {name}

A language model that reads a person's short answers in Korean, one to each of the Big Five traits,
and writes a report about them. It is made to run on a phone, without a network.

**Not a medical diagnosis, and no substitute for one.** See the limits of use below."""


def _provenance(runs: Runs, sources: Sources) -> str:
    rows = [
        (stage, sources.take(run, MANIFEST, "job", form=escaped))
        for stage, run in runs.by_stage.items()
    ]
    of_program = {
        name: run
        for run in (runs["train"], runs["convert"])
        for name in sources.look(run, MANIFEST, "versions") or {}
    }
    programs = [
        (name, sources.take(run, MANIFEST, "versions", name, form=escaped))
        for name, run in of_program.items()
    ]
    return f"""## Provenance

{table(("Stage", "run"), rows)}

{table(("Program", "version"), programs)}"""
