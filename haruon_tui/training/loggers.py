"""TensorBoard files of every training, and Weights & Biases where it is installed.

Both are written from what the job's event log holds. An attempt begins by writing what the log
holds up to the step it goes on from: what a killed attempt had not yet written out is there then,
and no step is there twice.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from haruon_tui import artifacts
from haruon_tui.jobs.context import JobContext
from haruon_tui.jobs.events import EventReader, number
from haruon_tui.settings import TrainSettings

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

Scalars = dict[str, float]

TENSORBOARD_FOLDER = "tensorboard"
WANDB_FOLDER = "wandb"
WANDB_KEY = "WANDB_API_KEY"
_PROJECT = "haruon"
_ANSWER_SECONDS = 30.0
_FLUSH_SECONDS = 5


class Logger(Protocol):
    def write(self, step: int, scalars: Scalars, seconds: float | None) -> None:
        """Take in the scalars of a step; `seconds` is the Unix time, None for now."""

    def close(self) -> None:
        """Write out what is not yet."""


@contextmanager
def attached(job: JobContext, step: int, settings: TrainSettings) -> Iterator[None]:
    """Hand every metric that `job` reports meanwhile to the loggers too. `step` is the one that
    training goes on from. A logger that fails is said so and left out: it ends no training."""
    earlier = logged(job.writer.path, step)
    loggers = [
        logger
        for logger in (
            _opened("TensorBoard", lambda: TensorBoard(job.folder / TENSORBOARD_FOLDER), job),
            _opened("Weights & Biases", lambda: weights_and_biases(job, settings), job),
        )
        if logger is not None
    ]
    known: dict[str, int] = {}

    def tell(at: int, values: Scalars, seconds: float | None = None) -> None:
        new = {name: value for name, value in values.items() if known.get(name, -1) < at}
        known.update(dict.fromkeys(new, at))
        for logger in list(loggers) if new else []:
            try:
                logger.write(at, new, seconds)
            except Exception as error:  # noqa: BLE001 - a logger is no reason to end a training
                loggers.remove(logger)
                job.log(f"{type(logger).__name__} takes nothing more: {error}", "warning")

    for at, (seconds, values) in earlier.items():
        tell(at, values, seconds)
    job.on_metric.append(tell)
    try:
        yield
    finally:
        job.on_metric.remove(tell)
        for logger in loggers:
            try:
                logger.close()
            except Exception as error:  # noqa: BLE001
                job.log(f"{type(logger).__name__} was not closed: {error}", "warning")


def logged(log: Path, last: int) -> dict[int, tuple[float, Scalars]]:
    """The scalars in an event log up to the step `last`, by step in ascending order, with the
    time of the first of them. What was written again counts as it was written last."""
    found: dict[int, tuple[float, Scalars]] = {}
    reader = EventReader(log)
    while block := reader.read():
        for event in block:
            if event["kind"] == "metric" and event["step"] <= last:
                values = {name: number(value) for name, value in event["values"].items()}
                found.setdefault(event["step"], (event["t"], {}))[1].update(values)
    return dict(sorted(found.items()))


class TensorBoard:
    """Event files that `tensorboard --logdir` shows, each metric under its own name."""

    def __init__(self, folder: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter

        artifacts.remove(folder)
        self._writer: SummaryWriter = SummaryWriter(str(folder), flush_secs=_FLUSH_SECONDS)

    def write(self, step: int, scalars: Scalars, seconds: float | None) -> None:
        for name, value in scalars.items():
            self._writer.add_scalar(name, value, step, walltime=seconds)

    def close(self) -> None:
        self._writer.close()


class WeightsAndBiases:
    """A run of wandb: synced where there is a key, else in the folder wandb/ of the job, from
    where `wandb sync` can send it later."""

    def __init__(self, job: JobContext, settings: TrainSettings, *, online: bool) -> None:
        import wandb

        if not online:
            artifacts.remove(job.folder / WANDB_FOLDER)
        self._run: Any = wandb.init(
            project=os.environ.get("WANDB_PROJECT", _PROJECT),
            name=job.id,
            id=job.id if online else None,
            resume="allow" if online else None,
            dir=str(job.folder),
            config=settings.model_dump(mode="json"),
            mode="online" if online else "offline",
            settings=wandb.Settings(
                console="off",
                silent=True,
                disable_git=True,
                disable_code=True,
                x_disable_stats=True,
                init_timeout=_ANSWER_SECONDS,
            ),
        )

    def write(self, step: int, scalars: Scalars, seconds: float | None) -> None:
        self._run.log(dict(scalars), step=step)

    def close(self) -> None:
        self._run.finish()


def weights_and_biases(job: JobContext, settings: TrainSettings) -> WeightsAndBiases | None:
    """The run of Weights & Biases: with its server when WANDB_API_KEY is set and it answers, else
    offline; None where wandb is not installed or WANDB_MODE is "disabled"."""
    if os.environ.get("WANDB_MODE") == "disabled":
        return None
    key = bool(os.environ.get(WANDB_KEY))
    if find_spec("wandb") is None:
        if key:
            job.log(
                f'{WANDB_KEY} is set and wandb is not installed: pip install "haruon-tui[wandb]"',
                "warning",
            )
        return None
    if key and os.environ.get("WANDB_MODE") != "offline":
        try:
            return WeightsAndBiases(job, settings, online=True)
        except Exception as error:  # noqa: BLE001 - whatever it is, there is still the disk
            job.log(f"Weights & Biases cannot be reached, logging offline: {error}", "warning")
    return WeightsAndBiases(job, settings, online=False)


def _opened(name: str, make: Callable[[], Logger | None], job: JobContext) -> Logger | None:
    try:
        return make()
    except Exception as error:  # noqa: BLE001
        job.log(f"{name} is left out: {error}", "warning")
        return None
