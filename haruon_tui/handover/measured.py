"""The sections of the card about what was measured of the model and its files."""

from __future__ import annotations

from haruon_tui.comparison.columns import size, with_error
from haruon_tui.comparison.export import escaped
from haruon_tui.comparison.rows import COMPARISON_FILE
from haruon_tui.evaluation.figures import FIGURES, written
from haruon_tui.evaluation.results import EVALUATION_FILE
from haruon_tui.evaluation.summary import ALL
from haruon_tui.export.choice import Candidate
from haruon_tui.gguf.convert_stage import PROOF_FILE
from haruon_tui.handover.forms import code, count, speed, table
from haruon_tui.handover.sources import MANIFEST, UNKNOWN, Form, Key, Runs, Sources

NOT_EVALUATED = "Not evaluated."
NOT_COMPARED = "Not compared."


def evaluation(runs: Runs, sources: Sources) -> str:
    if "evaluate" not in runs.by_stage:
        return f"## Evaluation\n\n{NOT_EVALUATED}"
    run, file = runs["evaluate"], f"artifacts/{EVALUATION_FILE}"
    names = sources.look(run, MANIFEST, "params", "names")
    head = [
        sources.take(run, MANIFEST, "params", "names", names.index(name), form=escaped)
        for name in runs.evaluated
    ]

    def cell(model: str, key: str) -> str:
        def part(end: str) -> str:
            path: tuple[Key, ...] = ("models", model, "figures", ALL, key, end)
            return sources.take(run, file, *path, form=lambda value: written(key, value))

        mean, low, high = part("mean"), part("low"), part("high")
        return UNKNOWN if mean == UNKNOWN else f"{mean} ({low} to {high})"

    rows = [
        (figure.title, *(cell(model, figure.key) for model in runs.evaluated))
        for figure in FIGURES
    ]
    cases = sources.take(run, file, "cases", form=count)
    level = sources.take(run, file, "bootstrap", "level", form=lambda v: f"{v * 100:g} %")
    seed = sources.take(run, MANIFEST, "params", "seed")
    rules = sources.take(run, MANIFEST, "params", "rules", form=escaped)
    return f"""## Evaluation

Means over {cases} cases, in brackets the interval of {level} by bootstrap; seed {seed}, rules
“{rules}”. The figures are counted by rules, not by people.

{table(("Figure", *head), rows)}"""


def files(runs: Runs, sources: Sources) -> str:
    def row(file: Candidate) -> tuple[str, ...]:
        name = file.path.name

        def take(*path: Key, form: Form) -> str:
            return sources.take(file.run, MANIFEST, "artifacts", name, *path, form=form)

        return (
            take(form=lambda _: code(name)),
            take("bytes", form=count),
            take("sha256", form=code),
        )

    rows = [row(file) for file in runs.files]
    return f"## Files\n\n{table(('File', 'bytes', 'sha256'), rows)}"


def comparison(runs: Runs, sources: Sources) -> str:
    if "compare" not in runs.by_stage:
        return f"## Quantization\n\n{NOT_COMPARED}"
    run, file = runs["compare"], f"artifacts/{COMPARISON_FILE}"

    def pair(at: int, key: str, form: Form) -> str:
        return sources.take(run, file, "rows", at, "quality", key, form=form)

    rows = [
        (
            sources.take(run, file, "rows", at, "type", form=escaped),
            sources.take(run, file, "rows", at, "bytes", form=size),
            sources.take(run, file, "rows", at, "bits_per_weight", form=lambda v: f"{v:.2f}"),
            pair(at, "perplexity", lambda v: f"{v[0]:.4g}"),
            pair(at, "perplexity_ratio", lambda v: with_error(*v)),
            pair(at, "divergence", lambda v: with_error(*v)),
            pair(at, "same_top", lambda v: f"{v[0]:.1%}"),
            sources.take(run, file, "rows", at, "generate", form=speed),
        )
        for at in range(len(sources.look(run, file, "rows") or ()))
    ]
    head = (
        "Type",
        "size",
        "bits per weight",
        "perplexity",
        "by the unquantized one's",
        "KL divergence, nats",
        "same likeliest token",
        "tokens/s",
    )
    return f"""## Quantization

{table(head, rows)}

Perplexity and divergence are of held-out text of the dataset, ± standard error. The speed, ± the
deviation of its runs, is that of the machine that measured, not of a phone."""


def proof(runs: Runs, sources: Sources) -> str:
    run, file = runs["convert"], f"artifacts/{PROOF_FILE}"
    rows = [
        (
            sources.take(run, file, at, "name", form=escaped),
            sources.take(run, file, at, "ok", form=lambda ok: "holds" if ok else "does not hold"),
            sources.take(run, file, at, "detail", form=escaped),
        )
        for at in range(len(sources.look(run, file) or ()))
    ]
    return f"""## Proof of the conversion

The unquantized file was held against the merged model:

{table(("What", "", "found"), rows)}"""
