"""What trains: this program, or LLaMA-Factory. docs/scaling.md has what each of them can do."""

from __future__ import annotations

from haruon_tui.errors import ConfigurationError
from haruon_tui.settings import TrainSettings

WITHOUT = {
    "built-in": frozenset({"llamafactory_cli"}),
    "llamafactory": frozenset(
        {"processes", "machines", "main_address", "main_port", "strategy", "global_batch"}
        | {"kernels", "batching", "deterministic", "on_out_of_memory", "early_stopping"}
        | {"sample_every", "sample_tokens"}
    ),
}
"""The fields of a recipe that an engine has no use for."""


def require(wanted: TrainSettings) -> None:
    """Raise ConfigurationError for what the engine cannot do."""
    if wanted.engine == "llamafactory" and wanted.processes * wanted.machines > 1:
        raise ConfigurationError(
            f"LLaMA-Factory trains in one process here, and the settings ask for "
            f"{wanted.processes * wanted.machines}",
            where="train.processes",
            do='processes = 1 and machines = 1, or engine = "built-in", under [train]',
        )
