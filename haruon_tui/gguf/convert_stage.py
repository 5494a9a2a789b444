"""The stage `convert`: the merged model as an F16 GGUF that has proved itself."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from haruon_tui import artifacts, stage
from haruon_tui.errors import StageError
from haruon_tui.gguf.verify import Check, verify

if TYPE_CHECKING:
    from haruon_tui.jobs.context import JobContext
    from haruon_tui.settings import Settings

F16_FILE = "model.F16.gguf"
PROOF_FILE = "proof.json"
FAILED_SUFFIX = ".failed-proof.gguf"
"""Of a GGUF that has failed its proof."""


class Params(stage.Params):
    model: stage.InputPath
    name: str
    """general.name of the GGUF, which chat programs show."""


class Result(stage.Result):
    bytes: int
    parameters: int
    checks: list[Check]


def configure(settings: Settings, inputs: stage.Inputs) -> Params:
    return Params(
        model=inputs.artifact("merge", "model"),
        name=f"Haruon {Path(settings.model.base).name}",
    )


def failed_name(name: str) -> str:
    """What a GGUF is called that has failed its proof."""
    return name.removesuffix(".gguf") + FAILED_SUFFIX


def run(params: Params, job: JobContext) -> Result:
    """Convert, then prove; the GGUF gets its name only when every line of the proof holds.

    Leaves model.F16.gguf and proof.json. Raises StageError for a model that cannot be converted,
    and for a failed proof with its first failed line; proof.json is there then, too, and the file
    under another name.
    """
    from haruon_tui.gguf.convert import convert

    def converted(done: int, total: int) -> None:
        job.raise_if_stopped()
        job.progress(done, total, phase="convert", unit="tensors")

    def proved(done: int, total: int, part: str) -> None:
        job.progress(done, total, phase=f"proof: {part}", unit="parts")

    unproven = job.scratch / F16_FILE
    try:
        conversion = convert(params.model, unproven, name=params.name, progress=converted)
        for note in conversion.notes:
            job.log(note)
        checks = verify(
            unproven,
            params.model,
            stop_requested=lambda: job.stop_requested,
            progress=proved,
        )
        failed = [check for check in checks if not check.ok]
        with job.artifact(
            failed_name(F16_FILE) if failed else F16_FILE, made_from=str(params.model)
        ) as temporary:
            unproven.rename(temporary)
    finally:
        artifacts.remove(unproven)
    for check in checks:
        job.log(
            f"{'ok' if check.ok else 'FAILED'}  {check.name}: {check.detail}",
            "info" if check.ok else "error",
        )
    with job.artifact(PROOF_FILE) as proof:
        artifacts.write_json(proof, [check.model_dump() for check in checks])
    if failed:
        raise StageError(
            f"the GGUF does not behave as the model: {failed[0].name}: {failed[0].detail}",
            where=str(job.artifacts / failed_name(F16_FILE)),
            expected="every line of the proof to hold",
            do=f"read {job.artifacts / PROOF_FILE}; the file is kept to be looked at, not used",
        )
    return Result(
        summary=f"{F16_FILE}: {conversion.bytes / 1e6:,.1f} MB, "
        f"{conversion.parameters / 1e6:,.1f} M parameters, {len(checks)} of {len(checks)} proofs "
        "hold",
        bytes=conversion.bytes,
        parameters=conversion.parameters,
        checks=checks,
    )
