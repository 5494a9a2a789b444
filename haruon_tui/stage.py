"""What a stage is made of, and the registry that finds one by name without importing any.

A stage module defines:

* `Params` and `Result`, subclasses of the models here;
* `configure(settings, inputs) -> Params`, which fills Params from haruon.toml and from the
  artefacts of the stages before;
* `run(params, job) -> Result`, the work itself. Heavy libraries are imported inside `run`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from haruon_tui.jobs.context import JobContext
    from haruon_tui.settings import Settings

Device = Literal["none", "cpu", "accelerator", "quiet"]
"""What a stage waits for: nothing, the CPU, the configured accelerator (the CPU where there is
none), or the whole machine to itself, as benchmarks need."""


class _Input:
    """Marks a path whose content, not whose name, decides whether work can be reused."""


INPUT = _Input()
InputPath = Annotated[Path, INPUT]


class Params(BaseModel):
    """What a stage was asked to do. Never holds a secret, only the name of its variable."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @property
    def accelerators(self) -> int:
        """How many devices the work takes at once, where it is for the accelerator."""
        return 1


class Result(BaseModel):
    """What a stage has to say when it is done: figures and the names of its artefacts.

    `summary` is one line for people, without markup.
    """

    model_config = ConfigDict(extra="forbid")

    summary: str


class Inputs(Protocol):
    """Where the stages before left their artefacts."""

    def artifact(self, stage: str, name: str) -> Path:
        """The path of artefact `name` of `stage`: an existing one or where it will be."""
        ...


@dataclass(frozen=True)
class StageModule:
    """What a stage module defines. Those outside the pipeline are not configured from the
    settings: they have None."""

    params: type[Params]
    configure: Callable[[Settings, Inputs], Params] | None
    run: Callable[[Any, JobContext], Result]


@dataclass(frozen=True)
class Stage:
    """One job type. Raise `version` when a change of code changes what it makes."""

    name: str
    title: str
    module: str
    device: Device
    after: tuple[str, ...] = ()
    version: int = 1

    def load(self) -> StageModule:
        """Import the stage's module."""
        module = importlib.import_module(self.module)
        return StageModule(module.Params, getattr(module, "configure", None), module.run)


_ALL = (
    Stage("hardware", "Check the machine", "haruon_tui.hardware.stage", "none", version=2),
    Stage("dataset", "Build and validate the dataset", "haruon_tui.dataset.stage", "none"),
    Stage("model", "Get the base model", "haruon_tui.model.stage", "accelerator", version=2),
    Stage("train", "Fine-tune", "haruon_tui.training.stage", "accelerator", ("model", "dataset")),
    Stage("merge", "Merge the adapter", "haruon_tui.training.merge", "cpu", ("model", "train")),
    Stage(
        "evaluate",
        "Evaluate base and tuned",
        "haruon_tui.evaluation.stage",
        "accelerator",
        ("model", "merge", "dataset"),
        version=2,
    ),
    Stage(
        "convert", "Convert to GGUF", "haruon_tui.gguf.convert_stage", "cpu", ("merge",), version=2
    ),
    Stage(
        "quantize",
        "Quantize",
        "haruon_tui.gguf.quantize_stage",
        "cpu",
        ("dataset", "merge", "convert"),
        version=2,
    ),
    Stage(
        "compare",
        "Compare the quantizations",
        "haruon_tui.comparison.stage",
        "quiet",
        ("dataset", "convert", "quantize"),
        version=2,
    ),
    Stage(
        "chat",
        "Ask the quantized model",
        "haruon_tui.chat.stage",
        "cpu",
        ("quantize", "dataset"),
    ),
    Stage("export", "Export for the app", "haruon_tui.export.stage", "none"),
    Stage("push", "Push to the Hub", "haruon_tui.handover.push_stage", "none"),
    Stage("generate", "Generate examples", "haruon_tui.dataset.generation.stage", "none"),
    Stage("probe", "Let a base model speak", "haruon_tui.model.probe", "accelerator"),
    Stage("selftest", "Measure the devices", "haruon_tui.hardware.self_test", "quiet"),
    Stage("pipeline", "Run every stage", "haruon_tui.pipeline_stage", "none"),
)

STAGES: dict[str, Stage] = {stage.name: stage for stage in _ALL}

PIPELINE: tuple[str, ...] = tuple(
    stage.name
    for stage in _ALL
    if stage.name not in ("export", "push", "generate", "probe", "selftest", "pipeline")
)
"""The stages in the order in which they run."""
