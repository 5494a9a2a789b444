"""What is pushed to the Hub: proven GGUF files, and a card made at this moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from haruon_tui.errors import ConfigurationError, StageError
from haruon_tui.export.choice import readiness
from haruon_tui.handover import card, repository
from haruon_tui.handover.gather import gather
from haruon_tui.handover.push_stage import Params
from haruon_tui.jobs.context import read_manifest

if TYPE_CHECKING:
    from haruon_tui.export.choice import Candidate
    from haruon_tui.jobs.store import Store
    from haruon_tui.planning import Step


def params_for(
    store: Store,
    steps: Mapping[str, Step],
    name: str,
    *,
    types: Sequence[str] = (),
    public: bool = False,
) -> tuple[Params, tuple[str, ...]]:
    """The work, for these types of GGUF or for all, and what its card lacks.

    Raises ConfigurationError for a wrong name, no token, a type that is not there, and what
    `gather` raises.
    """
    repository.require_name(name)
    repository.require_token()
    gathered = gather(store, steps)
    files = _chosen(readiness(steps).candidates, types)
    params = Params(
        repository=name,
        files=[file.path for file in files],
        sha256=[_sha256(file) for file in files],
        card=card.write(gathered.runs).text,
        public=public,
    )
    return params, gathered.notes


def replaced(params: Params) -> list[str]:
    """What is in the repository already with another content. Asks the Hub; raises StageError."""
    names = (path.name for path in params.files)
    contents = dict(zip(names, params.sha256, strict=True))
    with repository.speaking(params.repository):
        api = repository.connect()
        return repository.other_contents(api, params.repository, contents, params.card)


def _chosen(candidates: Sequence[Candidate], types: Sequence[str]) -> list[Candidate]:
    wanted = {name.lower(): name for name in types}
    found = [one for one in candidates if not wanted or one.type.lower() in wanted]
    if missing := set(wanted) - {one.type.lower() for one in found}:
        raise ConfigurationError(
            f"there is no GGUF {', '.join(sorted(wanted[name] for name in missing))} here",
            where="--gguf",
            expected=", ".join(one.type for one in candidates),
            do="haruon gguf quantize makes the types of gguf.quantize",
        )
    return found


def _sha256(file: Candidate) -> str:
    about = ((read_manifest(file.run.artifacts) or {}).get("artifacts") or {}).get(file.path.name)
    if not about:
        raise StageError(
            "is not in its run's manifest",
            where=str(file.path),
            do="haruon gguf quantize --force makes it again",
        )
    return str(about["sha256"])
