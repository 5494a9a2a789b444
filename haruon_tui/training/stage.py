"""Stage "train": fine-tune the base model on the dataset with TRL's SFTTrainer.

Artefact: adapter/, the best LoRA adapter by evaluation loss with the base's tokenizer, or the
whole model where the method is "full". Checkpoints stay in the job's scratch folder, and a
stopped or crashed training goes on from the newest complete one to the same end.
"""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from haruon_tui import stage
from haruon_tui.errors import ConfigurationError, StageError, Stopped
from haruon_tui.launching.command import shown
from haruon_tui.launching.supervise import run_ranks
from haruon_tui.launching.world import World
from haruon_tui.settings import TrainSettings
from haruon_tui.stage import InputPath
from haruon_tui.training import engines, ranks

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase

    from haruon_tui.jobs.context import JobContext
    from haruon_tui.settings import Settings
    from haruon_tui.training.checkpoints import Checkpoints, Progress
    from haruon_tui.training.examples import Examples
    from haruon_tui.training.trainer import ReportingTrainer


class Params(stage.Params):
    model: InputPath = Field(description="folder of the base model")
    train_file: InputPath = Field(description="dataset records to learn from")
    eval_file: InputPath = Field(
        description="dataset records to measure the loss on; may be empty"
    )
    settings: TrainSettings

    @property
    def accelerators(self) -> int:
        """One GPU for each process on this machine."""
        return self.settings.processes


class Result(stage.Result):
    steps: int
    examples: int
    too_long: int = Field(description="examples left out because they exceed max_length")
    final_loss: float = Field(description="training loss of the last step")
    best_eval_loss: float | None
    best_step: int
    tokens: int = Field(description="trained on, prompts counted, padding not")
    tokens_per_second: float
    seconds: float = Field(description="spent in training steps, over all attempts")
    trainable_parameters: int
    parameters: int
    precision: str
    device: str
    peak_memory_bytes: int = Field(description="highest resident size of this process")


def configure(settings: Settings, inputs: stage.Inputs) -> Params:
    """Train the model stage's base on the dataset stage's records. Raises ConfigurationError for
    settings that several processes cannot share, or that a Slurm job cannot."""
    ranks.ranks(settings.train)
    engines.require(settings.train)
    if "train" in settings.slurm.stages and settings.train.machines > 1:
        raise ConfigurationError(
            f"a Slurm job takes one node, and train.machines is {settings.train.machines}",
            where="slurm.stages",
            do="machines = 1 with as many processes as the node has GPUs; or stages = [], and the "
            "commands of haruon train --commands in an allocation of several nodes",
        )
    return Params(
        model=inputs.artifact("model", "model"),
        train_file=inputs.artifact("dataset", "train.jsonl"),
        eval_file=inputs.artifact("dataset", "eval.jsonl"),
        settings=settings.train,
    )


def run(params: Params, job: JobContext) -> Result:
    """Train, or go on training from the newest complete checkpoint of this job: in this process,
    or in several that this one launches.

    Raises Stopped after a checkpoint when a stop was asked for; StageError, ConfigurationError.
    """
    if params.settings.engine == "llamafactory":
        return _by_llamafactory(params, job)
    if World.here().launched or ranks.ranks(params.settings).total == 1:
        return _work(params, job)
    return _launch(params, job)


def _by_llamafactory(params: Params, job: JobContext) -> Result:
    """Let LLaMA-Factory train on the records that are short enough by this program's tokens."""
    from transformers import AutoTokenizer

    from haruon_tui.training import llamafactory

    wanted = params.settings
    job.progress(0, 1, phase="reading the examples", unit="files")
    tokenizer = AutoTokenizer.from_pretrained(params.model)
    files = {"training": params.train_file, "evaluation": params.eval_file}
    too_long = {
        name: set(_examples(path, tokenizer, wanted, job).too_long) for name, path in files.items()
    }
    return Result.model_validate(llamafactory.train(wanted, params.model, files, too_long, job))


def _launch(params: Params, job: JobContext) -> Result:
    """Start the processes and wait for them, again where they need less in memory at once."""
    wanted = params.settings
    own, *others = ranks.commands(wanted, job.folder)
    job.log(f"an optimizer step takes {ranks.share(wanted).words}")
    job.log(f"runs {shown(own)}")
    for number, command in enumerate(others, start=1):
        job.log(f"waits for machine {number}: run there {shown(command)}")
    job.progress(0, 1, phase="starting the processes", unit="launches")
    while True:
        result = run_ranks(job, own, wanted.processes * wanted.machines)
        if result is not None:
            return Result.model_validate(result)


def _work(params: Params, job: JobContext) -> Result:
    """Train in this process, alone or as one rank of several."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from transformers import AutoTokenizer

    from haruon_tui.model import compute
    from haruon_tui.training import recovery
    from haruon_tui.training.checkpoints import Checkpoints
    from haruon_tui.training.team import Team

    wanted = params.settings
    compute.use_growing_segments()
    compute.use_allowed_cores()
    team = Team.gather(wanted, job)
    job.progress(0, 1, phase="reading the examples", unit="files")
    tokenizer = AutoTokenizer.from_pretrained(params.model, padding_side="right")
    train, evaluation = (
        _examples(path, tokenizer, wanted, job) for path in (params.train_file, params.eval_file)
    )
    if not train.encoded:
        raise StageError(
            "there is no example to learn from",
            where=str(params.train_file),
            do="raise dataset.compose or name files in dataset.files, then haruon data build",
        )
    checkpoints = Checkpoints(job.scratch / "checkpoints")
    with team.first_alone():
        if team.leads:
            _fit_memory(params, train.longest, job)
        for step, fault in checkpoints.remove_broken().items():
            job.log(f"checkpoint {step} {fault}: removed", "warning")
    params = params.model_copy(update={"settings": recovery.remembered(wanted, job.scratch)})
    trainer = None
    while trainer is None:
        try:
            trainer = _train(params, job, tokenizer, train, evaluation, checkpoints)
        except (RuntimeError, MemoryError) as error:
            if not recovery.is_out_of_memory(error):
                raise
            smaller = recovery.smaller_batches(params.settings, error, job, checkpoints)
            team.start_again(job)
            params = params.model_copy(update={"settings": smaller})
        if trainer is None:
            recovery.release_memory()  # only now nothing holds the failed attempt
            checkpoints.remove_broken()
    progress = trainer.progress
    best = progress.best_step or progress.step
    if team.leads:
        with job.artifact("adapter", step=best) as temporary:
            _publish(checkpoints.path(best), temporary)
    return _result(trainer, progress, best, len(train.encoded), train, wanted)


def _train(
    params: Params,
    job: JobContext,
    tokenizer: PreTrainedTokenizerBase,
    train: Examples,
    evaluation: Examples,
    checkpoints: Checkpoints,
) -> ReportingTrainer:
    """Train from the newest checkpoint, or from the base, to the end."""
    from haruon_tui.training import loggers
    from haruon_tui.training.checkpoints import Progress

    progress = checkpoints.newest() or Progress()
    if progress.step:
        job.log(f"going on from step {progress.step}")
    job.raise_if_stopped()
    job.progress(0, 1, phase="loading the base model", unit="models")
    logging = loggers.attached(job, progress.step, params.settings)
    with logging if World.here().leads else nullcontext():
        trainer = _trainer(params, job, tokenizer, train, evaluation, checkpoints, progress)
        trainer.utilisation_per_speed = _utilisation_per_speed(params, train)
        if params.settings.sample_every and params.settings.strategy == "fsdp":
            job.log("no sample answers: with fsdp no process holds the whole model")
        elif params.settings.sample_every and World.here().leads:
            _add_samples(trainer, params, tokenizer, job)
        job.raise_if_stopped()
        _fit(trainer)
    return trainer


def _fit_memory(params: Params, longest: int, job: JobContext) -> None:
    """Take smaller batches where the GPU could never hold those that are asked for, say what the
    training will take by estimate, and wait until its GPU has that free."""
    from haruon_tui.hardware.architecture import from_config
    from haruon_tui.hardware.gpu_wait import gib, memory_of, wait_for_memory
    from haruon_tui.hardware.memory_estimate import DeviceKind, estimate, on_gpu
    from haruon_tui.model import compute
    from haruon_tui.training import recovery

    wanted = recovery.remembered(params.settings, job.scratch)
    try:
        config = json.loads((params.model / "config.json").read_text("utf-8"))
        architecture = from_config(params.model.name, config)
    except (OSError, ValueError, KeyError, TypeError):
        return  # of a family whose memory is not known
    kind: DeviceKind = compute.device()  # type: ignore[assignment]
    longest = min(longest, wanted.max_length)
    if room := memory_of(job):
        wanted = recovery.batches_that_fit(wanted, architecture, longest, room, job)
    wanted = on_gpu(wanted, compute.capability())
    needed = estimate(architecture, wanted, device=kind, length=longest).total
    job.log(f"takes about {gib(needed)} by estimate, over what the imports take")
    wait_for_memory(job, needed)


def _examples(
    path: Path, tokenizer: PreTrainedTokenizerBase, wanted: TrainSettings, job: JobContext
) -> Examples:
    from haruon_tui.training import examples

    loaded = examples.load(path, tokenizer, wanted.loss_on, wanted.max_length, job)
    if loaded.too_long and wanted.too_long == "refuse":
        raise StageError(
            f"{len(loaded.too_long)} examples are longer than max_length = {wanted.max_length} "
            f"tokens: {', '.join(loaded.too_long[:5])}",
            where=str(path),
            expected=f"at least {loaded.longest} for the longest",
            do=f'set max_length = {loaded.longest}, or too_long = "leave out", under [train]',
        )
    if loaded.too_long:
        job.log(
            f"{len(loaded.too_long)} of {len(loaded.encoded) + len(loaded.too_long)} examples in "
            f"{path.name} are longer than max_length = {wanted.max_length} tokens and are left "
            f"out (the longest has {loaded.longest}): {', '.join(loaded.too_long[:5])}",
            "warning",
        )
    return loaded


def _trainer(
    params: Params,
    job: JobContext,
    tokenizer: PreTrainedTokenizerBase,
    train: Examples,
    evaluation: Examples,
    checkpoints: Checkpoints,
    progress: Progress,
) -> ReportingTrainer:
    from datasets import Dataset

    from haruon_tui.training import setup
    from haruon_tui.training.trainer import ReportingTrainer

    wanted = params.settings
    model = setup.base_model(params.model, wanted)
    job.raise_if_stopped()
    held_out: Dataset | None = (
        Dataset.from_list(evaluation.encoded).with_format("numpy") if evaluation.encoded else None
    )
    trainer = ReportingTrainer(
        job=job,
        checkpoints=checkpoints,
        progress=progress,
        log_every=wanted.log_every,
        eval_every=wanted.eval_every,
        keep_checkpoints=wanted.keep_checkpoints,
        early_stopping=wanted.early_stopping,
        grouped=wanted.batching == "grouped",
        fused=wanted.kernels == "fused",
        model=model,
        args=setup.arguments(wanted, checkpoints.folder),
        train_dataset=Dataset.from_list(train.encoded).with_format("numpy"),
        eval_dataset=held_out,
        processing_class=tokenizer,
        peft_config=setup.adapter(wanted),
    )
    job.log(
        f"{len(train.encoded)} examples, longest {train.longest} tokens; "
        f"{_trainable(trainer):,} of {_parameters(trainer):,} parameters are trained, "
        f"in {setup.precision_name(wanted)} on {setup.device_name(wanted)}"
    )
    return trainer


def _utilisation_per_speed(params: Params, train: Examples) -> float | None:
    """The share of the device's peak that one token per second takes, by the formula of
    hardware/training_flops.py; None where the base's family or the peak is not known."""
    import torch

    from haruon_tui.hardware import peaks
    from haruon_tui.hardware.architecture import from_config
    from haruon_tui.hardware.training_flops import flops_per_token, utilisation
    from haruon_tui.model import compute

    wanted = params.settings
    try:
        config = json.loads((params.model / "config.json").read_text("utf-8"))
        architecture = from_config(params.model.name, config)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    device = compute.device()
    if device == "cuda":
        known = peaks.of_gpu(torch.cuda.get_device_name())
    elif device == "cpu":
        known = peaks.of_cpu(torch.get_num_threads())
    else:
        return None
    peak = known.fp32 if compute.dtype(wanted.precision) == torch.float32 else known.bf16
    lengths = [len(one["input_ids"]) for one in train.encoded]
    if not peak:
        return None
    per_token = flops_per_token(architecture, wanted, sum(lengths) / len(lengths))
    return utilisation(1.0, per_token, peak)


def _add_samples(
    trainer: ReportingTrainer,
    params: Params,
    tokenizer: PreTrainedTokenizerBase,
    job: JobContext,
) -> None:
    from haruon_tui.training.sample_generations import SampleGenerations, prompts

    wanted = params.settings
    asked = prompts([params.eval_file, params.train_file], tokenizer, wanted.max_length)
    trainer.add_callback(
        SampleGenerations(
            trainer, job, tokenizer, asked, every=wanted.sample_every, tokens=wanted.sample_tokens
        )
    )


def _fit(trainer: ReportingTrainer) -> None:
    from haruon_tui.training.trainer import AlreadyFinished

    step = trainer.progress.step
    resume = str(trainer.checkpoints.path(step)) if step else None
    try:
        trainer.train(resume_from_checkpoint=resume)
    except AlreadyFinished:
        return
    if trainer.state.global_step >= trainer.state.max_steps:
        return
    if not trainer.learned_enough:
        raise Stopped
    trainer.job.log(
        f"ended early: {trainer.early_stopping} evaluations brought nothing better than step "
        f"{trainer.progress.best_step}"
    )


_TRAINER_FILES = re.compile(
    r"(complete|trainer_state)\.json|(optimizer|scheduler|scaler)\.pt|optimizer\.bin"
    r"|pytorch_model_fsdp\.bin|rng_state(_\d+)?\.pth|training_args\.bin|README\.md"
)


def _publish(checkpoint: Path, folder: Path) -> None:
    """Copy what a checkpoint holds besides the trainer's own files."""
    folder.mkdir()
    for file in checkpoint.iterdir():
        if file.is_file() and not _TRAINER_FILES.fullmatch(file.name):
            shutil.copy2(file, folder / file.name)


def _result(
    trainer: ReportingTrainer,
    progress: Progress,
    best: int,
    examples: int,
    train: Examples,
    wanted: TrainSettings,
) -> Result:
    from haruon_tui.training import setup

    loss = progress.last_loss
    evaluation = progress.evaluations.get(best)
    speed = progress.tokens / max(progress.seconds, 1e-9)
    measured = (
        f"evaluation loss {evaluation:.3f}" if evaluation is not None else f"loss {loss:.3f}"
    )
    return Result(
        summary=f"{progress.step} steps, {measured} at step {best}, {speed:,.0f} tokens/s",
        steps=progress.step,
        examples=examples,
        too_long=len(train.too_long),
        final_loss=loss,
        best_eval_loss=evaluation,
        best_step=best,
        tokens=progress.tokens,
        tokens_per_second=speed,
        seconds=progress.seconds,
        trainable_parameters=_trainable(trainer),
        parameters=_parameters(trainer),
        precision=setup.precision_name(wanted),
        device=setup.device_name(wanted),
        peak_memory_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    )


def _trainable(trainer: Any) -> int:
    return sum(p.numel() for p in trainer.model.parameters() if p.requires_grad)


def _parameters(trainer: Any) -> int:
    return int(trainer.model.num_parameters())
