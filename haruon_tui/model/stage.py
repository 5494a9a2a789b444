"""Stage "model": get the base model, and let it speak once (the guide's 3.1 and 3.2).

Artefact: model/, a Hugging Face folder.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from haruon_tui import stage
from haruon_tui.errors import StageError
from haruon_tui.model.folder import adopt, require_model
from haruon_tui.stage import InputPath

if TYPE_CHECKING:
    from haruon_tui.jobs.context import JobContext
    from haruon_tui.settings import Settings

TINY = "tiny"
ANSWERS = {
    "openness": "새로운 것을 배우는 걸 좋아해요",
    "conscientiousness": "계획을 세우고 지키는 게 중요해요",
    "extraversion": "혼자 있을 때 에너지를 얻어요",
    "agreeableness": "사람들을 도와주는 걸 즐겨요",
    "neuroticism": "스트레스를 받으면 운동으로 풀어요",
}
"""The guide's test answers (3.2, 7.3)."""

_NEW_TOKENS = 64
_CONVERTIBLE = ("qwen2",)


class Params(stage.Params):
    base: str = Field(description='"tiny", a name on the Hub, or the name of `folder`')
    revision: str
    folder: InputPath | None = Field(None, description="a model on this machine")


class Result(stage.Result):
    base: str
    model_type: str
    parameters: int
    bytes: int
    prompt: str
    answer: str
    tokens_per_second: float


def configure(settings: Settings, inputs: stage.Inputs) -> Params:
    """Take the model section; an absolute path is a folder, whose content is what counts."""
    base = Path(settings.model.base)
    return Params(
        base=base.name if base.is_absolute() else settings.model.base,
        revision=settings.model.revision,
        folder=base if base.is_absolute() else None,
    )


def run(params: Params, job: JobContext) -> Result:
    """Build, adopt or download the base. Raises StageError, Stopped."""
    from haruon_tui.model import compute

    compute.use_allowed_cores()
    source = _source(params, job)
    config = require_model(source)
    if config["model_type"] not in _CONVERTIBLE:
        job.log(
            f"{params.base} is a {config['model_type']} model: it can be trained and merged, but "
            f"only {', '.join(_CONVERTIBLE)} can be converted to GGUF",
            "warning",
        )
    with job.artifact("model", base=params.base, revision=params.revision) as temporary:
        adopt(source, temporary)
    job.raise_if_stopped()
    folder = job.artifacts / "model"
    job.progress(0, 1, phase="first answer", unit="answers")
    answer, speed, parameters = _first_answer(folder)
    job.progress(1, 1, phase="first answer", unit="answers")
    return Result(
        summary=f"{params.base}: {parameters / 1e6:,.1f} M parameters, "
        f"{speed:.0f} tokens/s in its first answer",
        base=params.base,
        model_type=config["model_type"],
        parameters=parameters,
        bytes=sum(file.stat().st_size for file in folder.iterdir()),
        prompt=_user_text(),
        answer=answer,
        tokens_per_second=round(speed, 1),
    )


def _source(params: Params, job: JobContext) -> Path:
    if params.folder:
        return params.folder
    if params.base == TINY:
        from haruon_tui.model.tiny import cached_base

        return cached_base(job)
    return _download(params, job)


def _download(params: Params, job: JobContext) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    job.log(f"fetching {params.base} at {params.revision}")
    job.progress(0, 1, phase="downloading", unit="models")
    try:
        return Path(
            snapshot_download(
                params.base,
                revision=params.revision,
                allow_patterns=["*.json", "*.safetensors", "*.jinja", "*.txt"],
            )
        )
    except LocalEntryNotFoundError as error:
        what, do = "is not on this machine, and the Hub cannot be reached", "check the network"
        cause: Exception = error
    except HFValidationError as error:
        what, do = "is no name that the Hub knows", "write owner/name"
        cause = error
    except HfHubHTTPError as error:
        what = f"was refused by the Hub: {str(error).splitlines()[0]}"
        do = "check the name and the revision; for a gated model set HF_TOKEN"
        cause = error
    except OSError as error:
        what, do = f"could not be fetched: {error}", "check the network and the disk"
        cause = error
    raise StageError(
        what,
        where=f"model.base = {params.base!r}",
        expected=f'"{TINY}", a model on the Hugging Face Hub, or a local folder',
        do=f"{do}; or set model.base to a folder that holds the model",
    ) from cause


def _user_text() -> str:
    from haruon_tui.dataset.persona import user_turn

    return user_turn(ANSWERS)


def _first_answer(folder: Path) -> tuple[str, float, int]:
    """The base's answer to the guide's test answers, tokens/s, and its parameter count."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from haruon_tui.dataset.persona import prompt_messages
    from haruon_tui.model import compute

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype="auto").to(compute.device())
    if tokenizer.chat_template:
        inputs: Any = tokenizer.apply_chat_template(
            prompt_messages(ANSWERS),
            add_generation_prompt=True,
            return_dict=True,
            return_tensors="pt",
        )
    else:
        inputs = tokenizer(_user_text(), return_tensors="pt")
    inputs = inputs.to(model.device)
    started = time.monotonic()
    with torch.inference_mode():
        output = model.generate(**inputs, max_new_tokens=_NEW_TOKENS, do_sample=False)
    made = output[0, inputs["input_ids"].shape[1] :]
    speed = len(made) / (time.monotonic() - started)
    return tokenizer.decode(made, skip_special_tokens=True), speed, model.num_parameters()
