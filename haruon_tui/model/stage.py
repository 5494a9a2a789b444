"""Stage "model": get the base model, and let it speak once (the guide's 3.1 and 3.2).

Artefact: model/, a Hugging Face folder.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from haruon_tui import stage
from haruon_tui.model.card import Card, card
from haruon_tui.model.folder import adopt, refuse_remote_code
from haruon_tui.stage import InputPath

if TYPE_CHECKING:
    from haruon_tui.jobs.context import JobContext
    from haruon_tui.settings import Settings

TINY = "tiny"
CONVERTIBLE = ("qwen2", "qwen3", "llama")


class Params(stage.Params):
    base: str = Field(description='"tiny", a name on the Hub, or the name of `folder`')
    revision: str
    folder: InputPath | None = Field(None, description="a model on this machine")
    remote_code: bool = Field(False, description="the base may run the Python code it brings")


class Result(stage.Result):
    """`commit` is what the revision was on the Hub when it was fetched; None for other bases."""

    base: str
    revision: str
    commit: str | None
    card: Card
    prompt: str
    answer: str
    answer_tokens: int
    answer_stopped: bool
    tokens_per_second: float
    device: str


@dataclass(frozen=True)
class _Source:
    folder: Path
    commit: str | None = None
    offline: bool = False


def configure(settings: Settings, inputs: stage.Inputs) -> Params:
    """Take the model section; an absolute path is a folder, whose content is what counts."""
    base = Path(settings.model.base)
    name = base.name if base.is_absolute() else settings.model.base
    return Params(
        base=name,
        revision=settings.model.revision,
        folder=base if base.is_absolute() else None,
        remote_code=settings.model.trust_remote_code == name,
    )


def run(params: Params, job: JobContext) -> Result:
    """Build, adopt or fetch the base. Raises StageError, Stopped."""
    from haruon_tui.model.first_answer import first_answer

    source = _source(params, job)
    facts = card(source.folder)
    refuse_remote_code(source.folder / "config.json", params.base, allowed=params.remote_code)
    if facts.model_type not in CONVERTIBLE:
        job.log(
            f"{params.base} is a {facts.model_type} model: it can be trained and merged, but "
            f"only {', '.join(CONVERTIBLE)} can be converted to GGUF",
            "warning",
        )
    if params.remote_code:
        job.log(f"{params.base} may run its own Python code here ([model] trust_remote_code)")
    about = {"base": params.base, "revision": params.revision, "commit": source.commit}
    with job.artifact("model", **about) as temporary:
        adopt(source.folder, temporary, remote_code=params.remote_code)
    job.raise_if_stopped()
    said = first_answer(job.artifacts / "model", job, remote_code=params.remote_code)
    at = f" at {source.commit[:12]}" if source.commit else ""
    return Result(
        summary=f"{params.base}{at}: {facts.parameters / 1e6:,.1f} M parameters, "
        f"{said.tokens_per_second:.0f} tokens/s in its first answer",
        base=params.base,
        revision=params.revision,
        commit=source.commit,
        card=facts,
        prompt=said.prompt,
        answer=said.text,
        answer_tokens=said.tokens,
        answer_stopped=said.stopped,
        tokens_per_second=said.tokens_per_second,
        device=said.device,
    )


def _source(params: Params, job: JobContext) -> _Source:
    if params.folder:
        return _Source(params.folder)
    if params.base == TINY:
        from haruon_tui.model import compute
        from haruon_tui.model.tiny import cached_base

        compute.use_allowed_cores()
        return _Source(cached_base(job))
    from haruon_tui.model.fetch import fetch

    job.log(f"fetching {params.base} at {params.revision}")
    fetched = fetch(params.base, params.revision, job, remote_code=params.remote_code)
    _say_pinned(params, fetched.commit, fetched.arrived, job)
    return _Source(fetched.folder, fetched.commit, fetched.offline)


def _say_pinned(params: Params, commit: str, arrived: int, job: JobContext) -> None:
    """Tell the commit, and whether the revision is another one than when it was last fetched."""
    came = f"{arrived:,} bytes came" if arrived else "nothing had to be fetched"
    job.log(f"{params.base} is pinned to commit {commit}; {came}")
    before = last_commit(job.folder.parent, params)
    if before and before != commit:
        job.log(
            f"{params.revision} has moved: it was {before[:12]} when it was last fetched and is "
            f'{commit[:12]} now. [model] revision = "{before}" keeps the old one',
            "warning",
        )


def last_commit(runs: Path, params: Params) -> str | None:
    """The commit that the newest finished run with this base and revision was pinned to."""
    from haruon_tui.jobs.store import Store

    for run in Store(runs).of_stage("model"):
        result = run.status().result or {}
        if (result.get("base"), result.get("revision")) == (params.base, params.revision):
            return result.get("commit")
    return None
