"""LLaMA-Factory as the engine of a training: its configuration, its log, its adapter.

It is a program of another environment (its libraries are older than this one's), so all that is
shared are files: dataset_info.json and a YAML go in, trainer_log.jsonl and an adapter come out.
Field names are those of LLaMA-Factory 0.9 (src/llamafactory/hparams in its source).
"""

from __future__ import annotations

import contextlib
import json
import math
import re
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from haruon_tui.errors import ConfigurationError, StageError, Stopped
from haruon_tui.hardware.llamafactory import version
from haruon_tui.model.folder import copy_tokenizer

if TYPE_CHECKING:
    from haruon_tui.jobs.context import JobContext
    from haruon_tui.settings import TrainSettings

_POLL_SECONDS = 0.5
_FORMAT = {
    "formatting": "sharegpt",
    "columns": {"messages": "messages"},
    "tags": {
        "role_tag": "role",
        "content_tag": "content",
        "user_tag": "user",
        "assistant_tag": "assistant",
        "system_tag": "system",
    },
}
_SCHEDULERS = {"constant": "constant_with_warmup"}


def configuration(
    wanted: TrainSettings, base: Path, data: Path, out: Path, *, device: str, evaluates: bool
) -> dict[str, Any]:
    """What `llamafactory-cli train` reads."""
    precision = wanted.precision
    if precision == "auto":
        precision = "bf16"
    method: dict[str, Any] = {"finetuning_type": "full"}
    if wanted.method != "full":
        targets = wanted.targets
        method = {
            "finetuning_type": "lora",
            "lora_rank": wanted.rank,
            "lora_alpha": wanted.alpha,
            "lora_dropout": wanted.dropout,
            "lora_target": "all" if targets == "all-linear" else ",".join(targets),
            "use_dora": wanted.method == "dora",
            "use_rslora": wanted.method == "rslora",
        }
    if wanted.method == "qlora":
        method |= {"quantization_bit": 4, "quantization_method": "bnb"}
    evaluation: dict[str, Any] = {"eval_strategy": "no"}
    if evaluates:
        evaluation = {
            "eval_dataset": "evaluation",
            "eval_strategy": "steps",
            "eval_steps": wanted.eval_every,
            "per_device_eval_batch_size": wanted.batch_size,
            "load_best_model_at_end": True,
            "metric_for_best_model": "eval_loss",
            "greater_is_better": False,
        }
    return {
        "model_name_or_path": str(base),
        "stage": "sft",
        "do_train": True,
        **method,
        "dataset_dir": str(data),
        "dataset": "training",
        "template": "qwen",
        "cutoff_len": wanted.max_length,
        "train_on_prompt": wanted.loss_on == "all",
        "output_dir": str(out),
        "per_device_train_batch_size": wanted.batch_size,
        "gradient_accumulation_steps": wanted.accumulation,
        "learning_rate": wanted.learning_rate,
        "num_train_epochs": wanted.epochs,
        "lr_scheduler_type": _SCHEDULERS.get(wanted.scheduler, wanted.scheduler),
        "warmup_steps": wanted.warmup,
        "weight_decay": wanted.weight_decay,
        "max_grad_norm": wanted.max_grad_norm,
        "disable_gradient_checkpointing": not wanted.gradient_checkpointing,
        "bf16": precision == "bf16",
        "fp16": precision == "fp16",
        "use_cpu": device == "cpu",
        "seed": wanted.seed,
        "logging_steps": wanted.log_every,
        "save_steps": wanted.eval_every,
        "save_total_limit": wanted.keep_checkpoints,
        **evaluation,
        "report_to": "none",
        "include_num_input_tokens_seen": "non_padding",
    }


@dataclass
class TrainerLog:
    """trainer_log.jsonl, read while it grows. A step that is logged again, as after resuming, is
    reported once."""

    path: Path
    losses: dict[int, float] = field(default_factory=dict)
    evaluations: dict[int, float] = field(default_factory=dict)
    step: int = 0
    total: int = 0
    tokens: int = 0
    _read: int = 0

    def news(self) -> Iterator[tuple[int, dict[str, float]]]:
        """Metrics by step that are new since the last call."""
        if not self.path.exists():
            return
        with self.path.open("rb") as stream:
            stream.seek(self._read)
            fresh = stream.read()
        whole = fresh[: fresh.rfind(b"\n") + 1]
        self._read += len(whole)
        for line in whole.splitlines():
            with contextlib.suppress(ValueError, KeyError, TypeError):
                yield from self._take(json.loads(line))

    def _take(self, line: dict[str, Any]) -> Iterator[tuple[int, dict[str, float]]]:
        step = int(line["current_steps"])
        self.step, self.total = max(self.step, step), int(line.get("total_steps") or 0)
        self.tokens = int(line.get("total_tokens") or self.tokens)
        if "eval_loss" in line and step not in self.evaluations:
            self.evaluations[step] = float(line["eval_loss"])
            yield step, {"eval_loss": self.evaluations[step]}
        if "loss" in line and step not in self.losses:
            self.losses[step] = float(line["loss"])
            values = {"loss": self.losses[step], "learning_rate": float(line.get("lr", math.nan))}
            if speed := line.get("throughput"):
                values["tokens_per_second"] = float(speed)
            yield step, values


def write_data(
    folder: Path, files: dict[str, Path], too_long: dict[str, set[str]]
) -> dict[str, int]:
    """dataset_info.json and the records by name, but for those that would be cut; how many each
    has. Raises StageError for a record without a system message, before which LLaMA-Factory's
    template would set one of its own."""
    from haruon_tui.dataset import records

    folder.mkdir(parents=True, exist_ok=True)
    counts: dict[str, int] = {}
    info: dict[str, Any] = {}
    for name, path in files.items():
        kept = []
        for line in records.read(path):
            if isinstance(line, records.BadLine):
                raise ConfigurationError(line.message, where=f"{path}:{line.number}")
            record = line.record
            known = str(record.get("metadata", {}).get("id", f"line {line.number}"))
            if known in too_long.get(name, set()):
                continue
            messages = record["messages"]
            if messages[0]["role"] != "system":
                raise StageError(
                    "a record has no system message, and LLaMA-Factory would give it one",
                    where=f"{path}:{line.number}",
                    do='engine = "built-in" under [train], or a system message in each record',
                )
            kept.append({"messages": messages})
        if kept:
            records.write(folder / f"{name}.jsonl", kept)
            info[name] = {"file_name": f"{name}.jsonl", **_FORMAT}
        counts[name] = len(kept)
    text = json.dumps(info, ensure_ascii=False, indent=1)
    (folder / "dataset_info.json").write_text(text, encoding="utf-8")
    return counts


def newest_checkpoint(out: Path) -> Path | None:
    """The newest checkpoint whose state, which is written last, is whole."""
    found = []
    for path in out.glob("checkpoint-*"):
        number = re.fullmatch(r"checkpoint-(\d+)", path.name)
        with contextlib.suppress(OSError, ValueError):
            json.loads((path / "trainer_state.json").read_text("utf-8"))
            if number:
                found.append((int(number[1]), path))
    return max(found)[1] if found else None


def train(
    wanted: TrainSettings,
    base: Path,
    files: dict[str, Path],
    too_long: dict[str, set[str]],
    job: JobContext,
) -> dict[str, Any]:
    """Train, or go on from the newest checkpoint, and leave the adapter; returns what the stage's
    Result holds. Raises Stopped, and StageError with the program's last words."""
    from haruon_tui.model import compute

    found = version(wanted.llamafactory_cli)
    folder = job.scratch / "llamafactory"
    out = folder / "out"
    counts = write_data(folder / "data", files, too_long)
    device = compute.device()
    values = configuration(
        wanted, base, folder / "data", out, device=device, evaluates=counts["evaluation"] > 0
    )
    if checkpoint := newest_checkpoint(out):
        values["resume_from_checkpoint"] = str(checkpoint)
        job.log(f"going on from step {checkpoint.name.partition('-')[2]}")
    file = folder / "train.yaml"
    file.write_text(yaml.safe_dump(values, sort_keys=False, allow_unicode=True), encoding="utf-8")
    command = [str(Path(wanted.llamafactory_cli).expanduser()), "train", str(file)]
    job.log(f"LLaMA-Factory {found} runs {' '.join(command)}")
    log = TrainerLog(out / "trainer_log.jsonl")
    started = time.monotonic()
    _follow(command, log, job)
    seconds = time.monotonic() - started
    with job.artifact("adapter", step=log.step) as temporary:
        parameters = _publish(out, base, temporary)
    best = min(log.evaluations, key=lambda step: log.evaluations[step], default=log.step)
    loss = log.losses[max(log.losses)] if log.losses else math.nan
    evaluation = log.evaluations.get(best)
    measured = (
        f"evaluation loss {evaluation:.3f}" if evaluation is not None else f"loss {loss:.3f}"
    )
    return {
        "summary": f"{log.step} steps by LLaMA-Factory, {measured} at step {best}",
        "steps": log.step,
        "examples": counts["training"],
        "too_long": len(too_long["training"]),
        "final_loss": loss,
        "best_eval_loss": evaluation,
        "best_step": best,
        "tokens": log.tokens,
        "tokens_per_second": log.tokens / seconds,
        "seconds": seconds,
        "trainable_parameters": parameters,
        "parameters": _numbers(base) + (0 if wanted.method == "full" else parameters),
        "precision": "bf16" if values["bf16"] else "fp16" if values["fp16"] else "fp32",
        "device": device,
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024,
    }


def _follow(command: list[str], log: TrainerLog, job: JobContext) -> None:
    job.progress(0, 1, phase="starting LLaMA-Factory", unit="programs")
    for _ in log.news():
        pass  # of earlier attempts
    output = job.folder / "output.log"
    before = output.stat().st_size if output.exists() else 0
    tether = [sys.executable, "-P", "-m", "haruon_tui.launching.tether", *command]
    with output.open("ab") as stream:
        program = subprocess.Popen(
            tether, stdin=subprocess.PIPE, stdout=stream, stderr=subprocess.STDOUT
        )
    assert program.stdin
    told = False
    try:
        while True:
            ended = program.poll() is not None
            for step, metrics in log.news():
                job.metric(step, **metrics)
                job.progress(step, max(step, log.total), phase="training", unit="steps")
            if ended:
                break
            if job.stop_requested and not told:
                told = True
                program.stdin.write(b"stop\n")
                program.stdin.flush()
            time.sleep(_POLL_SECONDS)
    finally:
        with contextlib.suppress(OSError):
            program.stdin.close()
        program.wait()
    if told:
        raise Stopped
    if program.returncode:
        said = output.read_bytes()[before:].decode("utf-8", "replace").splitlines()
        words = next((line.strip() for line in reversed(said) if line.strip()), "nothing")
        raise StageError(
            f"LLaMA-Factory ended with {program.returncode}: {words[:300]}",
            where=f"output.log in {job.folder}",
            do=f"see haruon jobs logs {job.id}; then haruon jobs resume {job.id}",
        )


def _publish(out: Path, base: Path, folder: Path) -> int:
    """Copy what was trained, with the base's own tokenizer and template; returns how many numbers
    it is. Raises StageError where there is none."""
    folder.mkdir()
    found = [
        file
        for file in out.iterdir()
        if file.suffix == ".safetensors"
        or file.name in ("adapter_config.json", "config.json", "model.safetensors.index.json")
    ]
    if not any(file.suffix == ".safetensors" for file in found):
        raise StageError("LLaMA-Factory has left no weights", where=str(out))
    for file in found:
        shutil.copy2(file, folder / file.name)
    copy_tokenizer(base, folder)
    return _numbers(folder)


def _numbers(folder: Path) -> int:
    from safetensors import safe_open

    total = 0
    for file in folder.glob("*.safetensors"):
        with safe_open(file, "pt") as tensors:
            total += sum(
                math.prod(tensors.get_slice(name).get_shape())
                for name in tensors.keys()  # noqa: SIM118
            )
    return total
