"""What trains: this program's own trainer, or LLaMA-Factory, and what each of them can do."""

from __future__ import annotations

from dataclasses import dataclass

from haruon_tui.errors import ConfigurationError
from haruon_tui.settings import TrainSettings

_SEVERAL = frozenset(
    {"processes", "machines", "main_address", "main_port", "strategy", "global_batch"}
)


@dataclass(frozen=True)
class Engine:
    """`stops` and `resumes` in words; `without` are the fields of a recipe that it has no use
    for."""

    title: str
    stops: str
    resumes: str
    samples: bool
    without: frozenset[str]


ENGINES = {
    "built-in": Engine(
        "TRL, in this program",
        "writes a checkpoint, then ends",
        "from the newest checkpoint, to the same bits on a CPU",
        True,
        frozenset({"llamafactory_cli"}),
    ),
    "llamafactory": Engine(
        "LLaMA-Factory, in its own environment",
        "ends at once; the checkpoint of the last eval_every steps stays",
        "from the newest checkpoint",
        False,
        _SEVERAL
        | {"kernels", "batching", "deterministic", "on_out_of_memory", "early_stopping"}
        | {"sample_every", "sample_tokens"},
    ),
}


def require(wanted: TrainSettings) -> None:
    """Raise ConfigurationError for what the engine cannot do."""
    if wanted.engine == "llamafactory" and wanted.processes * wanted.machines > 1:
        raise ConfigurationError(
            f"LLaMA-Factory trains in one process here, and the settings ask for "
            f"{wanted.processes * wanted.machines}",
            where="train.processes",
            do='processes = 1 and machines = 1, or engine = "built-in", under [train]',
        )
