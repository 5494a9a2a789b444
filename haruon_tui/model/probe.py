"""Stage "probe": a model in a folder speaks once more (the guide's 3.2). It leaves no artefact."""

from __future__ import annotations

from typing import TYPE_CHECKING

from haruon_tui import stage
from haruon_tui.model.folder import refuse_remote_code, require_model
from haruon_tui.stage import InputPath

if TYPE_CHECKING:
    from haruon_tui.jobs.context import JobContext


class Params(stage.Params):
    """`prompt` None asks the guide's test answers."""

    folder: InputPath
    prompt: str | None = None
    remote_code: bool = False


class Result(stage.Result):
    prompt: str
    answer: str
    tokens: int
    stopped: bool
    tokens_per_second: float
    device: str


def run(params: Params, job: JobContext) -> Result:
    """Load the model and let it answer. Raises StageError, Stopped."""
    from haruon_tui.model.first_answer import first_answer

    require_model(params.folder)
    refuse_remote_code(
        params.folder / "config.json", params.folder.name, allowed=params.remote_code
    )
    said = first_answer(params.folder, job, prompt=params.prompt, remote_code=params.remote_code)
    end = "stopped by itself" if said.stopped else "cut off"
    return Result(
        summary=f"{said.tokens} tokens at {said.tokens_per_second:.0f} tokens/s, {end}",
        prompt=said.prompt,
        answer=said.text,
        tokens=said.tokens,
        stopped=said.stopped,
        tokens_per_second=said.tokens_per_second,
        device=said.device,
    )
