"""Which models can be evaluated: those that the stages made, by name, any other by its path."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from haruon_tui.errors import ConfigurationError
from haruon_tui.gguf.convert_stage import F16_FILE
from haruon_tui.gguf.quantize_stage import file_name

if TYPE_CHECKING:
    from haruon_tui.evaluation.stage import Params
    from haruon_tui.settings import Settings
    from haruon_tui.stage import Inputs


@dataclass(frozen=True)
class Candidate:
    """A model of this workspace, and the stage that makes it."""

    name: str
    path: Path
    stage: str


def candidates(settings: Settings, inputs: Inputs) -> dict[str, Candidate]:
    """Every model of the workspace's plan by name, made already or not."""
    made = [
        Candidate("base", inputs.artifact("model", "model"), "model"),
        Candidate("adapter", inputs.artifact("train", "adapter"), "train"),
        Candidate("tuned", inputs.artifact("merge", "model"), "merge"),
        Candidate("F16", inputs.artifact("convert", F16_FILE), "convert"),
        *(
            Candidate(kind, inputs.artifact("quantize", file_name(kind)), "quantize")
            for kind in dict.fromkeys(settings.gguf.quantize)
        ),
    ]
    return {one.name: one for one in made}


def choose(
    params: Params, wanted: Sequence[str], known: dict[str, Candidate], cases: Sequence[Path] = ()
) -> Params:
    """`params` with other models (names, "all", or paths of folders and GGUFs), and with `cases`
    instead of its own where there are some.

    Raises ConfigurationError for a model that is not there, naming the stage that makes it.
    """
    chosen: dict[str, Path] = {}
    for name in [*known] if list(wanted) == ["all"] else wanted:
        if name in known:
            chosen[name] = _there(known[name])
        else:
            path = Path(name).expanduser().resolve()
            if not (path.is_dir() or (path.suffix == ".gguf" and path.is_file())):
                raise ConfigurationError(
                    f"{name!r} is no model of this workspace and no path of one",
                    where="--model",
                    expected=f"{', '.join(known)}, all, a model folder, or a .gguf file",
                )
            chosen[path.name if path.name not in chosen else str(path)] = path
    update: dict[str, object] = {}
    if chosen:
        update |= {"names": list(chosen), "models": list(chosen.values())}
        if "adapter" in chosen:
            update["adapter_base"] = _there(known["base"])
    for path in cases:
        if not path.is_file():
            raise ConfigurationError(
                "there is no such file", where=str(path), expected="a JSONL file of cases"
            )
    if cases:
        update["cases"] = [path.resolve() for path in cases]
    return params.model_copy(update=update)


def _there(candidate: Candidate) -> Path:
    if not candidate.path.exists():
        raise ConfigurationError(
            f"there is no model {candidate.name!r} yet",
            where="--model",
            expected=f"the result of the stage {candidate.stage}",
            do=f"haruon pipeline --to {candidate.stage} makes it",
        )
    return candidate.path
