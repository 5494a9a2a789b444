"""Which models can be evaluated: those that the stages made, by name, any other by its path."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from haruon_tui.errors import ConfigurationError
from haruon_tui.evaluation.generate import ADAPTER_CONFIG
from haruon_tui.gguf.convert_stage import F16_FILE, FAILED_SUFFIX, PROOF_FILE
from haruon_tui.gguf.quantize_stage import file_name
from haruon_tui.jobs.context import read_manifest

if TYPE_CHECKING:
    from haruon_tui.evaluation.stage import Params
    from haruon_tui.settings import Settings
    from haruon_tui.stage import Inputs

ADAPTER = "adapter"
ALL = "all"


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
        Candidate(ADAPTER, inputs.artifact("train", "adapter"), "train"),
        Candidate("tuned", inputs.artifact("merge", "model"), "merge"),
        Candidate("F16", inputs.artifact("convert", F16_FILE), "convert"),
        *(
            Candidate(kind, inputs.artifact("quantize", file_name(kind)), "quantize")
            for kind in dict.fromkeys(settings.gguf.quantize)
        ),
    ]
    return {one.name: one for one in made}


def choose(params: Params, wanted: Sequence[str], known: dict[str, Candidate]) -> Params:
    """`params` with other models: names of `known`, "all" of them, or paths of folders and GGUFs.

    Raises ConfigurationError for a model that is not there, naming the stage that makes it.
    """
    chosen: dict[str, Path] = {}
    for name in dict.fromkeys([*known] if ALL in wanted else wanted):
        if name in known:
            chosen[name] = _there(known[name])
        else:
            path = _file(name, known)
            short = path.stem if path.suffix == ".gguf" else path.name
            chosen[short if short not in {*known, *chosen} else str(path)] = path
    update: dict[str, Any] = {"names": list(chosen), "models": list(chosen.values())}
    if ADAPTER in chosen or any((path / ADAPTER_CONFIG).is_file() for path in chosen.values()):
        update["adapter_base"] = _there(known["base"])
    return params.model_copy(update=update)


def unproven(params: Params) -> list[Path]:
    """The GGUFs of `params` that nothing shows to behave as the model they were made from."""
    return [path for path in params.models if path.suffix == ".gguf" and not is_proven(path)]


def is_proven(gguf: Path) -> bool:
    """Whether a conversion's proof lies beside the file, or beside the F16 it was quantized
    from."""
    manifest = read_manifest(gguf.parent) or {}
    source = (manifest.get("params") or {}).get("source")
    folders = [gguf.parent, *([Path(source).parent] if isinstance(source, str) else [])]
    return any(_holds(folder / PROOF_FILE) for folder in folders)


def _holds(proof: Path) -> bool:
    try:
        lines = json.loads(proof.read_bytes())
        return bool(lines) and all(line["ok"] for line in lines)
    except (OSError, ValueError, LookupError, TypeError):
        return False


def _there(candidate: Candidate) -> Path:
    if not candidate.path.exists():
        raise ConfigurationError(
            f"there is no model {candidate.name!r} under today's settings",
            where="--model",
            expected=f"the result of the stage {candidate.stage}",
            do=f"haruon pipeline --to {candidate.stage} makes it",
        )
    return candidate.path


def _file(name: str, known: dict[str, Candidate]) -> Path:
    path = Path(name).expanduser().resolve()
    if path.name.endswith(FAILED_SUFFIX):
        raise ConfigurationError(
            "has failed its proof: it does not behave as the model it was made from",
            where=str(path),
            expected="a GGUF whose proof holds",
            do="haruon gguf convert makes it again",
        )
    if not (path.is_dir() or (path.suffix == ".gguf" and path.is_file())):
        raise ConfigurationError(
            f"{name!r} is no model of this workspace and no path of one",
            where="--model",
            expected=f"{', '.join(known)}, {ALL}, a model folder, or a .gguf file",
        )
    return path
