"""The curves of one or several trainings as a file: a picture (SVG, PNG) or every value (CSV).

Only a picture loads matplotlib, and only when it is drawn: call this in a process of its own.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from haruon_tui import artifacts
from haruon_tui.errors import ConfigurationError
from haruon_tui.jobs.curve import Curves, best
from haruon_tui.jobs.news import NewsReader
from haruon_tui.jobs.series import Series
from haruon_tui.jobs.smoothing import Smoothed
from haruon_tui.jobs.store import Run

FORMS = ("svg", "png", "csv")
PANELS = {
    "loss": "loss",
    "learning_rate": "learning rate",
    "grad_norm": "gradient norm",
    "tokens_per_second": "tokens/s",
    "mfu": "MFU",
}
"""A panel for each of these that was logged, and what stands beside it."""

_EVALUATION = "eval_loss"
_COLUMNS = 1500
"""Of more points than this, the first, lowest, highest and last of each column are drawn."""
_DOTS_PER_INCH = 150


@dataclass
class Training:
    """What a log says of a run."""

    id: str
    curves: Curves = field(default_factory=Curves)
    checkpoints: list[int] = field(default_factory=list)


def read(run: Run) -> Training:
    """Read a run's whole log. Raises ConfigurationError where it has no loss yet."""
    found = Training(run.id)
    reader = NewsReader(run.log)
    while events := reader.read():
        found.curves.feed(events)
        found.checkpoints += [e["step"] for e in events if e["kind"] == "checkpoint"]
    if not any(len(found.curves.get(name)) for name in (*PANELS, _EVALUATION)):
        raise ConfigurationError(
            "has logged no metric of a training yet",
            where=run.id,
            do="haruon jobs list names the runs; a chart is of a training with at least one step",
        )
    return found


def form_of(path: Path) -> str:
    """`svg`, `png` or `csv`, by the file's name. Raises ConfigurationError for any other."""
    form = path.suffix.removeprefix(".").lower()
    if form not in FORMS:
        raise ConfigurationError(
            "is a name without a form to write",
            where=str(path),
            expected="a name that ends in .svg, .png or .csv",
        )
    return form


def write(
    trainings: Sequence[Training],
    path: Path,
    *,
    smoothing: float = 0.9,
    log: bool = False,
    replace: bool = False,
) -> None:
    """Write the first training with the others beside it. The file appears whole or not at all;
    one that is there stays unless `replace`. `smoothing`, below 1, is the weight of the past in
    the moving average, 0 draws none. `log` makes the loss's axis logarithmic.

    Raises ConfigurationError for a file that is there, a form that is none, a missing library.
    """
    form = form_of(path)
    if path.exists() and not replace:
        raise ConfigurationError(
            "is there already", where=str(path), do="choose another name, or --force replaces it"
        )
    with artifacts.replacing(path) as temporary:
        if form == "csv":
            _write_csv(trainings, temporary, smoothing)
        else:
            _draw(trainings, temporary, form, smoothing, log)


def _smoothed(source: Series, weight: float) -> Series:
    if not weight:
        return source
    average = Smoothed(source, weight)
    while not average.follow():
        pass
    return average.series


# CSV: a row for every step at which something was logged, a column for every metric


def _write_csv(trainings: Sequence[Training], path: Path, smoothing: float) -> None:
    names = list(dict.fromkeys(name for one in trainings for name in one.curves.names))
    averaged = ["loss_smoothed"] if smoothing and "loss" in names else []
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["run", "step", *names, *averaged, "marks"])
        for one in trainings:
            writer.writerows(_rows(one, names, smoothing if averaged else 0.0))


def _rows(one: Training, names: list[str], smoothing: float) -> Iterator[list[object]]:
    columns = [one.curves.get(name) for name in names]
    if smoothing:
        columns.append(_smoothed(one.curves.get("loss"), smoothing))
    by_step = [dict(zip(series.steps, series.values, strict=True)) for series in columns]
    marks = _marks(one)
    for step in sorted(set(marks).union(*by_step)):
        values = (found.get(step, "") for found in by_step)
        yield [one.id, step, *values, " ".join(marks.get(step, ()))]


def _marks(one: Training) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for step in dict.fromkeys(one.checkpoints):
        found.setdefault(step, []).append("checkpoint")
    for step in one.curves.restarts:
        found.setdefault(step, []).append("restart")
    if lowest := best(one.curves.get(_EVALUATION)):
        found.setdefault(lowest[0], []).append("best")
    return found


# Pictures


def _draw(
    trainings: Sequence[Training], path: Path, form: str, smoothing: float, log: bool
) -> None:
    try:
        import matplotlib as mpl
    except ImportError as error:
        raise ConfigurationError(
            f"matplotlib, which draws it, cannot be loaded: {error}",
            where=str(path),
            do="make setup installs it; a .csv needs no library",
        ) from error
    mpl.use("agg")
    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "haruon", "axes.grid": True})
    from matplotlib.figure import Figure

    panels = [
        name
        for name in PANELS
        if any(len(one.curves.get(name)) for one in trainings) or name == "loss"
    ]
    below = len(panels) - 1
    figure = Figure(figsize=(10, 5 + 2.2 * math.ceil(below / 2)), layout="constrained")
    rows = 1 + math.ceil(below / 2)
    grid = figure.add_gridspec(rows, 2, height_ratios=[2.4, *[1.0] * (rows - 1)])
    for number, name in enumerate(panels):
        place = grid[0, :] if not number else grid[(number + 1) // 2, (number + 1) % 2]
        axes = figure.add_subplot(place)
        _panel(axes, trainings, name, smoothing)
        if name == "loss":
            if log and _above_zero(trainings):
                axes.set_yscale("log")
            _mark(axes, trainings[0])
            axes.legend(fontsize=8, loc="upper right")
            axes.set_title(f"Training {_ascii(trainings[0].id)}", fontsize=11)
    metadata = {"Date": None} if form == "svg" else {"Software": "haruon"}
    figure.savefig(path, format=form, dpi=_DOTS_PER_INCH, metadata=metadata)


def _panel(axes: Any, trainings: Sequence[Training], name: str, smoothing: float) -> None:
    axes.set_ylabel(PANELS[name])
    axes.set_xlabel("step")
    axes.locator_params(axis="x", nbins=5, integer=True)  # more labels overlap in a small panel
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.grid(alpha=0.3)
    weight = smoothing if name in ("loss", "grad_norm", "tokens_per_second") else 0.0
    for number, one in reversed(list(enumerate(trainings))):
        raw, colour = one.curves.get(name), f"C{number}"
        label = "loss" if not number else _ascii(one.id)
        if weight and not number:
            axes.plot(*thinned(raw), color=colour, alpha=0.3, linewidth=0.8, label="loss, raw")
            label = f"loss, smoothed {smoothing:g}"
        shown = _smoothed(raw, weight)
        dots = "." if len(raw) == 1 else ""  # a line needs two points
        axes.plot(*thinned(shown), color=colour, linewidth=1.6, label=label, marker=dots)
        if name == "loss" and len(points := one.curves.get(_EVALUATION)):
            known = "evaluation" if not number else ""
            axes.plot(*thinned(points), "D:", color=colour, markersize=4, label=known or None)


def _mark(axes: Any, one: Training) -> None:
    """On the lower edge checkpoints and values that are none, a star at the best, and a line
    where the training went on from a checkpoint."""
    edge = {"transform": axes.get_xaxis_transform(), "clip_on": False, "linestyle": ""}
    if one.checkpoints:
        at = list(dict.fromkeys(one.checkpoints))
        axes.plot(at, [0.0] * len(at), marker="^", color="black", label="checkpoint", **edge)
    loss = one.curves.get("loss")
    if loss.gaps:
        at = sorted({loss.steps[index] for index in loss.gaps})
        kept = at[:: math.ceil(len(at) / _COLUMNS)]
        axes.plot(kept, [0.02] * len(kept), marker="x", color="red", label="not finite", **edge)
    for number, step in enumerate(one.curves.restarts):
        label = None if number else "restart"
        axes.axvline(step, color="red", linestyle="--", linewidth=1.0, label=label)
    if lowest := best(one.curves.get(_EVALUATION)):
        label = f"best {lowest[1]:.4f} at {lowest[0]}"
        axes.plot(*lowest, "*", color="goldenrod", markersize=13, zorder=5, label=label)


def thinned(series: Series) -> tuple[list[float], list[float]]:
    """Steps and values to join by a line: all, or where they are many what `_COLUMNS` columns
    show of them. A value that is not finite stays as NaN, which is a gap in the line."""
    if len(series) <= 4 * _COLUMNS:
        return list(series.steps), [v if math.isfinite(v) else math.nan for v in series.values]
    steps: list[float] = []
    values: list[float] = []
    for column in range(_COLUMNS):
        start, end = (n * len(series) // _COLUMNS for n in (column, column + 1))
        found = series.stretch(start, end)
        if found:
            middle = (series.steps[start] + series.steps[end - 1]) / 2
            steps += [series.steps[start], middle, middle, series.steps[end - 1]]
            values += [found.first, found.low, found.high, found.last]
        if series.gap_between(start, end):
            steps.append(series.steps[end - 1])
            values.append(math.nan)
    return steps, values


def _above_zero(trainings: Sequence[Training]) -> bool:
    names = ("loss", _EVALUATION)
    found = [one.curves.get(name) for one in trainings for name in names]
    seen = [series.stretch(0, len(series)) for series in found if len(series)]
    return all(stretch.low > 0 for stretch in seen if stretch)


def _ascii(text: str) -> str:
    """The font of the pictures has no Korean, and takes what stands between `$` for formulas."""
    plain = text.encode("ascii", "backslashreplace").decode().replace("$", r"\$")
    return "".join(c if c.isprintable() else "?" for c in plain).lstrip("_")
