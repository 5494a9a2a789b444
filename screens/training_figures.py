"""The figures of a training run, and its settings in one line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from haruon_tui.jobs.curve import best
from haruon_tui.screens.engine import ended
from haruon_tui.screens.history import duration
from haruon_tui.screens.plain_text import plain
from haruon_tui.screens.widgets.chart import Metric, written
from haruon_tui.screens.widgets.curve_picture import Mark
from haruon_tui.screens.widgets.figures import Figure

if TYPE_CHECKING:
    from haruon_tui.screens.history import History
    from haruon_tui.settings import TrainSettings

METRICS = (
    Metric("loss", "loss", ".4f", "eval_loss", points_title="evaluation"),
    Metric("learning_rate", "learning rate", ".3g", smoothed=False),
    Metric("grad_norm", "gradient norm", ".3g"),
    Metric("tokens_per_second", "tokens/s", ",.0f"),
    Metric("mfu", "MFU", ".1%"),
)
"""What the charts show: of these, those that a training reports."""

CHECKPOINT, BEST, RESTART = "▴", "★", "↻"

_NONE = "–"
TRAINING_PHASE = "training"


def training_figures(
    history: History | None, settings: TrainSettings | None, now: float
) -> list[Figure]:
    """What there is to say of a run at `now` (Unix seconds). What is not known yet is a dash; the
    list has the same names in the same order always, so that nothing jumps."""
    return [
        ("step", _step(history)),
        ("epoch", _epoch(history, settings)),
        ("left", _left(history, now)),
        ("loss", _last(history, "loss", ".4f")),
        ("eval loss", _last(history, "eval_loss", ".4f")),
        ("best eval", _best_evaluation(history)),
        ("rate", _last(history, "learning_rate", ".3g")),
        ("grad norm", _last(history, "grad_norm", ".3g")),
        ("tokens/s", _last(history, "tokens_per_second", ",.0f")),
        ("MFU", _last(history, "mfu", ".1%")),
        ("saved", _checkpoints(history)),
        ("elapsed", _elapsed(history, now)),
    ]


def changes_line(history: History | None) -> str:
    """What the run works with now, other than it was given; empty where that is nothing."""
    if history is None or not history.changes:
        return ""
    last = history.changes[-1]
    first = {
        name: old for one in reversed(history.changes) for name, (old, _) in one.values.items()
    }
    words = ", ".join(
        f"{name} {new} (was {first[name]})" for name, (_, new) in last.values.items()
    )
    return plain(f"Since step {last.step:,}, {last.why}: {words}")


def settings_line(settings: TrainSettings | None) -> str:
    """The settings that matter most; empty while they are not known."""
    if settings is None:
        return ""
    batch = f"batch {settings.batch_size}"
    if settings.accumulation > 1:
        batch += f"×{settings.accumulation}"
    method = settings.method
    adapter = "" if method == "full" else f" r{settings.rank} α{settings.alpha}"
    words = [
        settings.recipe,
        f"{method}{adapter}",
        f"lr {settings.learning_rate:g}",
        batch,
        f"{settings.epochs:g} epochs",
    ]
    return "Settings now: " + ", ".join(words)


def marks(history: History | None) -> list[Mark]:
    """Checkpoints, restarts and the best checkpoint, for the axis of a chart."""
    if history is None:
        return []
    found = [Mark(step, CHECKPOINT) for step in history.checkpoints]
    found += [Mark(step, RESTART, "bad") for step in history.curves.restarts]
    if lowest := best(history.curves.get("eval_loss")):
        found.append(Mark(lowest[0], BEST, "points"))
    return found


def legend(history: History | None) -> str:
    """What those of the marks mean that are there."""
    if history is None:
        return ""
    words = [f"{CHECKPOINT} saved"] if history.checkpoints else []
    words += [f"{BEST} best"] if best(history.curves.get("eval_loss")) else []
    words += [f"{RESTART} restart"] if history.curves.restarts else []
    return " ".join(words)


def _progress(history: History | None) -> tuple[float, float] | None:
    progress = history.status.progress if history and history.status else None
    if progress is None or progress.phase != TRAINING_PHASE or not progress.total:
        return None
    return progress.done, progress.total


def _step(history: History | None) -> str:
    progress = _progress(history)
    return f"{progress[0]:g}/{progress[1]:g}" if progress else _NONE


def _epoch(history: History | None, settings: TrainSettings | None) -> str:
    progress = _progress(history)
    epochs = _epochs(history, settings)
    if progress is None or epochs is None:
        return _NONE
    return f"{epochs * progress[0] / progress[1]:.2f} of {epochs:g}"


def _epochs(history: History | None, settings: TrainSettings | None) -> float | None:
    """Those that the run was started with; where it does not say, those set now."""
    own = history.run.job.params.get("settings") if history else None
    if isinstance(own, dict) and isinstance(own.get("epochs"), int | float):
        return float(own["epochs"])
    return settings.epochs if settings else None


def _left(history: History | None, now: float) -> str:
    left = history.remaining(now) if history and _progress(history) else None
    return _NONE if left is None else duration(left)


def _elapsed(history: History | None, now: float) -> str:
    status = history.status if history else None
    if status is None or status.identity is None:
        return _NONE
    return duration((ended(status) or now) - status.identity.started)


def _last(history: History | None, name: str, form: str) -> str:
    value = history.curves.last(name) if history else None
    return _NONE if value is None else written(value, form)


def _best_evaluation(history: History | None) -> str:
    lowest = best(history.curves.get("eval_loss")) if history else None
    return _NONE if lowest is None else f"{lowest[1]:.4f} at {lowest[0]}"


def _checkpoints(history: History | None) -> str:
    if history is None or not history.checkpoints:
        return _NONE
    return f"{len(history.checkpoints)}, at {history.checkpoints[-1]}"
