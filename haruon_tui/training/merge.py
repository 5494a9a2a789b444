"""Stage "merge": the adapter's update is added to the base's weights (the guide's 5.1).

Artefact: model/, a Hugging Face folder with the base's own tokenizer and chat template.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from haruon_tui import stage
from haruon_tui.errors import StageError
from haruon_tui.model.folder import copy_tokenizer
from haruon_tui.stage import InputPath

if TYPE_CHECKING:
    from haruon_tui.jobs.context import JobContext
    from haruon_tui.settings import Settings

ADAPTER_CONFIG = "adapter_config.json"


class Params(stage.Params):
    model: InputPath = Field(description="folder of the base model")
    adapter: InputPath = Field(description="folder of a LoRA adapter, or of a whole tuned model")


class Result(stage.Result):
    parameters: int
    bytes: int
    dtype: str = Field(description="the base's own, which the merged weights keep")


def configure(settings: Settings, inputs: stage.Inputs) -> Params:
    """Merge the train stage's adapter into the model stage's base."""
    return Params(
        model=inputs.artifact("model", "model"), adapter=inputs.artifact("train", "adapter")
    )


def run(params: Params, job: JobContext) -> Result:
    """Merge in the base's own precision, also where it was trained in 4 bits: merging into
    quantized weights would round the update away. A whole tuned model is taken as it is.

    Raises StageError when the adapter does not belong to the base, Stopped.
    """
    from haruon_tui.model import compute

    compute.use_allowed_cores()
    with job.artifact("model") as temporary:
        if (params.adapter / ADAPTER_CONFIG).is_file():
            dtype, parameters = _merge(params, temporary, job)
        else:
            dtype, parameters = _take_whole(params, temporary)
        copy_tokenizer(params.model, temporary)
        job.raise_if_stopped()
    job.progress(3, 3, phase="done", unit="steps")
    size = sum(file.stat().st_size for file in (job.artifacts / "model").iterdir())
    return Result(
        summary=f"{parameters / 1e6:,.1f} M parameters, {size / 1e6:,.1f} MB in {dtype}",
        parameters=parameters,
        bytes=size,
        dtype=dtype,
    )


def _merge(params: Params, folder: Path, job: JobContext) -> tuple[str, int]:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    job.progress(0, 3, phase="loading", unit="steps")
    model: Any = AutoModelForCausalLM.from_pretrained(params.model, dtype="auto")
    job.raise_if_stopped()
    job.progress(1, 3, phase="merging", unit="steps")
    try:
        adapted = PeftModel.from_pretrained(model, str(params.adapter))
        model = adapted.merge_and_unload(safe_merge=True)
    except (RuntimeError, ValueError) as error:
        raise StageError(
            f"the adapter cannot be merged: {error}",
            where=str(params.adapter),
            expected=f"a sound adapter, trained on {params.model}",
            do="haruon train makes one for this base",
        ) from error
    job.raise_if_stopped()
    job.progress(2, 3, phase="saving", unit="steps")
    model.save_pretrained(folder)
    return str(model.dtype).removeprefix("torch."), model.num_parameters()


def _take_whole(params: Params, folder: Path) -> tuple[str, int]:
    """A full fine-tune keeps fp32 weights while it trains; the result goes back to the base's."""
    from transformers import AutoConfig, AutoModelForCausalLM

    dtype = AutoConfig.from_pretrained(params.model).dtype
    model: Any = AutoModelForCausalLM.from_pretrained(params.adapter, dtype=dtype or "auto")
    model.save_pretrained(folder)
    return str(model.dtype).removeprefix("torch."), model.num_parameters()
