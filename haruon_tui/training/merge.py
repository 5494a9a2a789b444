"""Stage "merge": the adapter's update is added to the base's weights."""

from __future__ import annotations

from pathlib import Path

from haruon_tui import stage
from haruon_tui.errors import StageError
from haruon_tui.jobs.context import JobContext
from haruon_tui.settings import Settings


class Params(stage.Params):
    model: stage.InputPath
    adapter: stage.InputPath


class Result(stage.Result):
    parameters: int
    bytes: int
    dtype: str


def configure(settings: Settings, inputs: stage.Inputs) -> Params:
    return Params(
        model=inputs.artifact("model", "model"), adapter=inputs.artifact("train", "adapter")
    )


def run(params: Params, job: JobContext) -> Result:
    """Save base plus adapter as artefact `model`, in the base's own precision, with the base's
    tokenizer and chat template. What a full fine-tune left is a model already.

    Raises StageError when the adapter does not belong to the base.
    """
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    job.progress(0, 3, phase="loading", unit="steps")
    is_adapter = (params.adapter / "adapter_config.json").is_file()
    source = params.model if is_adapter else params.adapter
    model = AutoModelForCausalLM.from_pretrained(source, dtype="auto")
    job.raise_if_stopped()
    job.progress(1, 3, phase="merging", unit="steps")
    if is_adapter:
        try:
            model = PeftModel.from_pretrained(model, str(params.adapter)).merge_and_unload()
        except (RuntimeError, ValueError) as error:
            raise StageError(
                f"the adapter does not fit the base: {error}",
                where=str(params.adapter),
                expected=f"an adapter trained on {params.model}",
                do="haruon train makes one for this base",
            ) from error
    job.raise_if_stopped()
    job.progress(2, 3, phase="saving", unit="steps")
    with job.artifact("model") as temporary:
        model.save_pretrained(temporary)
        AutoTokenizer.from_pretrained(params.model).save_pretrained(temporary)
    job.progress(3, 3, phase="done", unit="steps")
    size = _bytes(job.artifacts / "model")
    dtype = str(model.dtype).removeprefix("torch.")
    return Result(
        summary=f"{size / 1e6:.1f} MB in {dtype}",
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        bytes=size,
        dtype=dtype,
    )


def _bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir())
