"""The sections of the card about what the model was made from, and how."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from haruon_tui.comparison.export import escaped
from haruon_tui.handover.forms import count, loss, percent, plain, table
from haruon_tui.handover.sources import LOG, MANIFEST, UNKNOWN, Form, Key, Runs, Sources
from haruon_tui.jobs.store import Run

_VALIDATION = "artifacts/validation.json"


def base(runs: Runs, sources: Sources) -> str:
    def row(title: str, name: str, *path: Key, form: Form = escaped) -> tuple[str, str]:
        return title, sources.take(runs["model"], name, *path, form=form)

    card = ("result", "card")
    rows = [
        row("Name", MANIFEST, "params", "base"),
        row("Revision", MANIFEST, "artifacts", "model", "revision"),
        row("Commit", MANIFEST, "artifacts", "model", "commit"),
        row("Licence", LOG, *card, "license"),
        row("Architecture", LOG, *card, "architecture"),
        row("Parameters", LOG, *card, "parameters", form=count),
        row("Layers", LOG, *card, "layers", form=count),
        row("Context, tokens", LOG, *card, "context", form=count),
        row("Chat template", LOG, *card, "template"),
    ]
    return f"""## Base model

{table(("", "base"), rows)}

The tuned weights are made from the base: its licence holds for them too."""


def data(runs: Runs, sources: Sources) -> str:
    run = runs["dataset"]

    def counted(title: str, *path: Key, form: Form = count) -> tuple[str, str]:
        return title, sources.take(run, _VALIDATION, *path, form=form)

    rows = [
        counted("Records trained on", "train"),
        counted("Records for the evaluation loss", "eval"),
        counted("Evaluation cases, in neither", "cases"),
        *(
            counted(f"Records of the source “{escaped(source)}”", "sources", source)
            for source in sources.look(run, _VALIDATION, "sources") or {}
        ),
        counted("Golden records, share", "golden_share", form=percent),
        counted("Records left out by the rules", "left_out"),
        counted("Rules", "rule_set", form=escaped),
    ]
    return f"## Data\n\n{table(('', 'data'), rows)}"


_SETTINGS: tuple[tuple[str, str], ...] = (
    ("recipe", "Recipe"),
    ("method", "Method"),
    ("rank", "Rank"),
    ("alpha", "Alpha"),
    ("dropout", "Dropout"),
    ("targets", "Target layers"),
    ("loss_on", "Loss on"),
    ("learning_rate", "Learning rate"),
    ("scheduler", "Scheduler"),
    ("warmup", "Warm-up, share of the steps"),
    ("epochs", "Epochs"),
    ("batch_size", "Batch"),
    ("accumulation", "Accumulation"),
    ("max_length", "Longest example, tokens"),
    ("weight_decay", "Weight decay"),
    ("max_grad_norm", "Largest gradient norm"),
    ("seed", "Seed"),
)


def training(runs: Runs, sources: Sources) -> str:
    run = runs["train"]
    kept = sources.look(run, MANIFEST, "params", "settings") or {}
    rows = [
        (title, sources.take(run, MANIFEST, "params", "settings", key, form=plain))
        for key, title in _SETTINGS
        if kept.get(key) is not None
    ]

    def result(title: str, key: str, form: Form = count) -> tuple[str, str]:
        return title, sources.take(run, LOG, "result", key, form=form)

    rows += [
        result("Steps", "steps"),
        result("Examples", "examples"),
        result("Tokens", "tokens"),
        result("Trained parameters", "trainable_parameters"),
        result("Precision", "precision", escaped),
        result("Device", "device", escaped),
        result("Seconds", "seconds"),
    ]
    return f"""## Training

{table(("", "training"), rows)}

{table(("Curve", "first", "best", "last"), list(_curves(run, sources)))}

Each with its step."""


def _curves(run: Run, sources: Sources) -> Iterator[Sequence[str]]:
    metrics = sources.look(run, LOG, "metrics") or {}
    for name, title in (("loss", "Training loss"), ("eval_loss", "Evaluation loss")):
        points = metrics.get(name, ())
        finite = [at for at, (_, value) in enumerate(points) if value == value]  # no NaN
        if not finite:
            yield title, UNKNOWN, UNKNOWN, UNKNOWN
            continue
        best = min(finite, key=lambda at: points[at][1])
        cells = []
        for at in (0, best, len(points) - 1):
            value = sources.take(run, LOG, "metrics", name, at, 1, form=loss)
            step = sources.take(run, LOG, "metrics", name, at, 0, form=count)
            cells.append(f"{value} ({step})")
        yield title, *cells
