"""What a GGUF says of where it comes from: the general.* of its metadata."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from haruon_tui.artifacts import MANIFEST

_SAMPLING = {
    "top_k": "top_k",
    "top_p": "top_p",
    "min_p": "min_p",
    "temperature": "temp",
    "repetition_penalty": "penalty_repeat",
}
"""Keys of generation_config.json and what follows general.sampling. for them."""


@dataclass(frozen=True)
class Provenance:
    """Every part but the name may be missing."""

    name: str
    base: str | None = None
    """The base model: a name on the Hub, with its organization, or of a folder."""
    commit: str | None = None
    license: str | None = None
    sampling: dict[str, float] = field(default_factory=dict)
    """How its makers would sample, by the name in general.sampling."""


def read_provenance(folder: Path, name: str) -> Provenance:
    """Of a model folder: from the manifests of the runs that made it, which name the base and its
    commit, from README.md and generation_config.json. What cannot be read is left out."""
    entry, params = _manifest(folder)
    source = folder
    if "base" not in entry and isinstance(model := params.get("model"), str):
        source = Path(model)  # a merged model's manifest names the folder of its base
        entry, _ = _manifest(source)
    base, commit = entry.get("base"), entry.get("commit")
    return Provenance(
        name,
        base if isinstance(base, str) else None,
        commit if isinstance(commit, str) else None,
        _license(folder) or _license(source),
        _sampling(folder),
    )


def _manifest(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The entry of an artefact in the manifest beside it, and the parameters of its run."""
    manifest = _object(folder.parent / MANIFEST)
    artifacts = manifest.get("artifacts")
    entry = artifacts.get(folder.name) if isinstance(artifacts, dict) else None
    params = manifest.get("params")
    return (
        entry if isinstance(entry, dict) else {},
        params if isinstance(params, dict) else {},
    )


def _license(folder: Path) -> str | None:
    """`license:` in the YAML between the two lines of dashes that a README may begin with."""
    try:
        text = (folder / "README.md").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    front = re.match(r"---\n(.*?)\n---\n", text, re.DOTALL)
    found = re.search(r"^license:[ \t]*[\"']?([^\s\"'#]+)", front[1], re.M) if front else None
    return found[1] if found else None


def _sampling(folder: Path) -> dict[str, float]:
    stated = _object(folder / "generation_config.json")
    return {
        ours: value
        for theirs, ours in _SAMPLING.items()
        if isinstance(value := stated.get(theirs), int | float) and not isinstance(value, bool)
    }


def _object(path: Path) -> dict[str, Any]:
    try:
        found: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
