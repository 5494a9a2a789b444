"""One training by two processes: as by one, with the error of the one that fails, and nothing left
behind."""

from __future__ import annotations

import os
import shlex
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from haruon_tui.errors import ConfigurationError, StageError, Stopped
from haruon_tui.jobs.context import JobContext
from haruon_tui.jobs.events import Event, EventReader, EventWriter
from haruon_tui.jobs.store import Run, Store
from haruon_tui.launching.supervise import is_running, log_of
from haruon_tui.settings import TrainSettings, default_settings
from haruon_tui.training import stage
from haruon_tui.training.ranks import commands, ranks, share
from haruon_tui.training.team import Team, environment, require_equal

STEPS = 6


def settings(**changed: Any) -> TrainSettings:
    """Six steps on 24 records, in fp32 and without dropout, with a checkpoint after each."""
    values = {
        "rank": 4,
        "alpha": 8,
        "dropout": 0.0,
        "learning_rate": 2e-2,
        "epochs": 1.0,
        "batch_size": 2,
        "accumulation": 2,
        "max_length": 2048,
        "log_every": 1,
        "eval_every": 1,
        "sample_every": 0,
        "precision": "fp32",
    }
    return default_settings("tiny").train.model_copy(update={**values, **changed})


class HeardJob(JobContext):
    """A job that does something as soon as a step is reported."""

    at: Callable[[int], None] = staticmethod(lambda step: None)

    def hear(self) -> HeardJob:
        write = self.writer.write

        def heard(kind: str, **fields: Any) -> None:
            write(kind, **fields)
            if kind == "progress" and fields["phase"] == "training":
                self.at(int(fields["done"]))

        self.writer.write = heard  # type: ignore[method-assign]
        return self


class Training:
    """Attempts at one training, each launched as a job launches it."""

    def __init__(self, runs: Path, base: Path, files: Any, wanted: TrainSettings) -> None:
        runs.mkdir(exist_ok=True)
        self.params = stage.Params(
            model=base, train_file=files.train, eval_file=files.eval, settings=wanted
        )
        self.run: Run = Store(runs).create(
            {
                "stage": "train",
                "params": self.params.model_dump(mode="json"),
                "inputs": {},
                "fingerprint": "a training by several",
            }
        )
        self.attempt = 0

    def go(self, at: Callable[[Training, HeardJob, int], None] | None = None) -> stage.Result:
        self.attempt += 1
        writer = EventWriter(self.run.log, attempt=self.attempt)
        job = HeardJob(self.run.folder, writer).hear()
        if at:
            job.at = lambda step: at(self, job, step)
        try:
            return stage.run(self.params, job)
        finally:
            writer.close()

    def events(self) -> list[Event]:
        return EventReader(self.run.log).read()

    def losses(self) -> dict[int, float]:
        return {
            event["step"]: event["values"]["loss"]
            for event in self.events()
            if event["kind"] == "metric" and "loss" in event["values"]
        }

    def pid_of(self, rank: int) -> int:
        started = [e for e in self.of_rank(rank) if e["kind"] == "running"]
        return int(started[-1]["pid"])

    def of_rank(self, rank: int) -> list[Event]:
        return EventReader(log_of(self.run.folder, rank)).read()

    def leaves_nothing(self) -> bool:
        """Whether no process of the ranks' process groups, and none with this run in its command,
        is there any more."""
        groups = {
            e["pid"] for rank in (0, 1) for e in self.of_rank(rank) if e["kind"] == "running"
        }
        for process in psutil.process_iter(["pid", "cmdline"]):
            try:
                of_group = os.getpgid(process.pid) in groups and is_running(process.pid)
            except ProcessLookupError:
                continue
            if of_group or str(self.run.folder) in (process.info["cmdline"] or []):
                return False
        return True


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory, small_base: Path, dataset: Any) -> Training:
    """The same training in one process."""
    training = Training(tmp_path_factory.mktemp("alone"), small_base, dataset, settings())
    training.go()
    return training


def test_a_killed_rank_ends_the_job_which_resumes_stops_and_keeps_the_curve_of_one_process(
    tmp_path: Path, small_base: Path, dataset: Any, alone: Training
) -> None:
    two = Training(tmp_path / "작업", small_base, dataset, settings(processes=2))

    def kill(training: Training, job: HeardJob, step: int) -> None:
        if step == 1:
            os.kill(training.pid_of(1), signal.SIGKILL)

    with pytest.raises(StageError) as raised:
        two.go(kill)
    assert "rank 1 of 2" in raised.value.what
    assert "signal 9 (SIGKILL)" in raised.value.what
    assert "resume" in (raised.value.do or "")
    assert two.leaves_nothing()
    killed_at = max(two.losses())

    def stop(training: Training, job: HeardJob, step: int) -> None:
        if step == killed_at + 1:
            job.stop.set()

    with pytest.raises(Stopped):
        two.go(stop)
    assert two.leaves_nothing()
    stopped_at = max(two.losses())
    assert killed_at < stopped_at
    written = [e["step"] for e in two.events() if e["kind"] == "checkpoint"]
    assert written[-1] == stopped_at
    expected = alone.losses()
    for step, loss in two.losses().items():
        assert loss == pytest.approx(expected[step], abs=1e-3), step


def test_two_processes_with_fsdp_leave_an_adapter_that_one_process_loads(
    tmp_path: Path, small_base: Path, dataset: Any, alone: Training
) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    two = Training(
        tmp_path, small_base, dataset, settings(processes=2, strategy="fsdp", eval_every=3)
    )
    result = two.go()
    assert result.steps == STEPS
    assert result.device == "2 x cpu"
    for step, loss in two.losses().items():
        assert loss == pytest.approx(alone.losses()[step], abs=1e-3), step
    adapter = two.run.artifacts / "adapter"
    names = {file.name for file in adapter.iterdir()}
    assert names == {file.name for file in (alone.run.artifacts / "adapter").iterdir()}
    base = AutoModelForCausalLM.from_pretrained(small_base, dtype=torch.float32)
    tuned = PeftModel.from_pretrained(base, adapter)
    changed = [weight for name, weight in tuned.named_parameters() if "lora_B" in name]
    assert changed
    assert all(bool(weight.abs().sum() > 0) for weight in changed)
    assert (two.run.folder / "scratch/checkpoints/checkpoint-6/optimizer.bin").exists(), "sharded"
    assert two.leaves_nothing()


@pytest.mark.parametrize(
    ("batch", "accumulation", "processes", "words"),
    [
        (4, 4, 2, "16 = 2 processes x 4 at once x 2 times"),
        (8, 2, 2, "16 = 2 processes x 8 at once x 1 times"),
        (8, 1, 1, "8 = 8 at once x 1 times"),
    ],
)
def test_the_global_batch_is_kept(
    batch: int, accumulation: int, processes: int, words: str
) -> None:
    wanted = settings(batch_size=batch, accumulation=accumulation, processes=processes)
    assert share(wanted).words == words
    assert share(wanted).global_batch == batch * accumulation


def test_the_global_batch_grows_only_where_that_is_asked_for() -> None:
    wanted = settings(batch_size=8, accumulation=1, processes=4, global_batch="grow")
    assert share(wanted).global_batch == 32


@pytest.mark.parametrize(
    ("batch", "accumulation", "processes", "remedy"),
    [
        (8, 1, 2, "batch_size = 4 and accumulation = 2 under [train] keep the step at 8"),
        (4, 4, 8, "batch_size = 2 and accumulation = 8 under [train] keep the step at 16"),
        (4, 2, 3, "a step of 9 examples can be shared: batch_size = 3 and accumulation = 3"),
    ],
)
def test_a_step_that_cannot_be_shared_is_refused_with_settings_that_can(
    batch: int, accumulation: int, processes: int, remedy: str
) -> None:
    wanted = settings(batch_size=batch, accumulation=accumulation, processes=processes)
    with pytest.raises(ConfigurationError) as raised:
        share(wanted)
    assert remedy in (raised.value.do or "")


def test_every_machine_gets_its_own_command_for_a_shell() -> None:
    wanted = settings(
        processes=4, machines=2, accumulation=8, main_address="10.0.0.1", strategy="fsdp"
    )
    first, second = (shlex.join(command) for command in commands(wanted, Path("/작업 공간/run")))
    for number, text in enumerate((first, second)):
        assert f"--machine_rank={number} --main_process_ip=10.0.0.1" in text
        assert "--num_processes=8 --num_machines=2" in text
        assert "--use_fsdp --fsdp_version=2" in text
        assert shlex.split(text)[-1] == "/작업 공간/run"


@pytest.mark.parametrize(
    ("changed", "where"),
    [
        ({"processes": 2, "machines": 2, "accumulation": 4}, "train.main_address"),
        ({"processes": 2, "strategy": "fsdp", "method": "qlora"}, "train.strategy"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(changed: dict[str, Any], where: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        ranks(settings(**changed))
    assert raised.value.where == where


def test_another_number_of_processes_than_the_settings_say_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"RANK": "0", "WORLD_SIZE": "3", "LOCAL_WORLD_SIZE": "3"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(StageError) as raised:
        Team.gather(settings(processes=2), JobContext.local(tmp_path / "run"))
    assert "3 processes were launched" in raised.value.what
    assert raised.value.expected == "--num_processes=2"


def test_another_environment_on_one_machine_is_named() -> None:
    here = environment()
    other = {**here, "host": "node2", "torch": "2.1.0", "peft": "none"}
    require_equal([here, here])
    with pytest.raises(StageError) as raised:
        require_equal([here, other])
    assert raised.value.what == (
        f"rank 1 on node2 has peft none instead of {here['peft']}, "
        f"torch 2.1.0 instead of {here['torch']}"
    )
