"""Stage "model": get the base model, and let it speak once."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

from haruon_tui import stage
from haruon_tui.errors import StageError
from haruon_tui.jobs.context import JobContext
from haruon_tui.settings import Settings

TINY = "tiny"
_NEEDED = ("config.json", "tokenizer.json")
_PROMPT_ANSWERS = {
    "openness": "새로운 것을 배우는 걸 좋아해요",
    "conscientiousness": "계획을 세우고 지키는 게 중요해요",
    "extraversion": "혼자 있을 때 에너지를 얻어요",
    "agreeableness": "사람들을 도와주는 걸 즐겨요",
    "neuroticism": "스트레스를 받으면 운동으로 풀어요",
}
"""The guide's own test answers, 7.3."""
_NEW_TOKENS = 64


class Params(stage.Params):
    base: str
    revision: str
    folder: stage.InputPath | None = None


class Result(stage.Result):
    base: str
    parameters: int
    bytes: int
    prompt: str
    answer: str
    tokens_per_second: float


def configure(settings: Settings, inputs: stage.Inputs) -> Params:
    base = Path(settings.model.base)
    return Params(
        base=base.name if base.is_absolute() else settings.model.base,
        revision=settings.model.revision,
        folder=base if base.is_absolute() else None,
    )


def run(params: Params, job: JobContext) -> Result:
    """Build, adopt or download the base as artefact `model`. Raises StageError."""
    source = _source(params, job)
    _require_model(source)
    with job.artifact("model", base=params.base, revision=params.revision) as temporary:
        _copy(source, temporary)
    job.raise_if_stopped()
    answer, speed, parameters = _first_answer(job.artifacts / "model")
    return Result(
        summary=f"{params.base}: {parameters / 1e6:.1f} M parameters, {speed:.0f} tokens/s here",
        base=params.base,
        parameters=parameters,
        bytes=sum(file.stat().st_size for file in (job.artifacts / "model").iterdir()),
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

    job.log(f"fetching {params.base} at {params.revision}")
    try:
        return Path(
            snapshot_download(
                params.base,
                revision=params.revision,
                allow_patterns=["*.json", "*.safetensors", "*.jinja", "*.txt"],
            )
        )
    except Exception as error:
        raise StageError(
            f"could not be fetched: {type(error).__name__}: {error}",
            where=f"model.base = {params.base!r}",
            expected="a model on the Hugging Face Hub, or a local folder",
            do="check the name and the network, or set model.base to a folder",
        ) from error


def _require_model(folder: Path) -> None:
    missing = [name for name in _NEEDED if not (folder / name).is_file()]
    if not list(folder.glob("*.safetensors")):
        missing.append("*.safetensors")
    if missing:
        raise StageError(
            f"is no Hugging Face model: {', '.join(missing)} missing",
            where=str(folder),
            expected="config.json, tokenizer.json and safetensors weights",
            do="set model.base to the folder that holds them",
        )


def _copy(source: Path, target: Path) -> None:
    """Hard links where the file system allows them: weights are not stored twice."""
    target.mkdir()
    for file in sorted(source.iterdir()):
        if not file.is_file() or file.name.startswith("."):
            continue
        try:
            (target / file.name).hardlink_to(file.resolve())
        except OSError:
            shutil.copy2(file, target / file.name)


def _user_text() -> str:
    from haruon_tui.dataset.persona import user_turn

    return user_turn(_PROMPT_ANSWERS)


def _first_answer(folder: Path) -> tuple[str, float, int]:
    """The base's answer to the guide's test answers, tokens/s, and its parameter count."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from haruon_tui.dataset.persona import prompt_messages
    from haruon_tui.model import compute

    compute.use_allowed_cores()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype="auto").to(compute.device())
    inputs: Any = tokenizer.apply_chat_template(
        prompt_messages(_PROMPT_ANSWERS),
        add_generation_prompt=True,
        return_dict=True,
        return_tensors="pt",
    ).to(model.device)
    started = time.monotonic()
    with torch.inference_mode():
        output = model.generate(**inputs, max_new_tokens=_NEW_TOKENS, do_sample=False)
    made = output[0, inputs["input_ids"].shape[1] :]
    speed = len(made) / (time.monotonic() - started)
    text = tokenizer.decode(made, skip_special_tokens=True)
    return text, speed, sum(parameter.numel() for parameter in model.parameters())
