"""A base far smaller than `tiny`, and a handful of records, for every test of training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from haruon_tui.dataset import composer, records
from haruon_tui.jobs.context import JobContext
from haruon_tui.jobs.events import EventReader, EventWriter
from haruon_tui.model import tiny
from haruon_tui.settings import TrainSettings, default_settings
from haruon_tui.training import stage

RECIPE = tiny.Recipe(
    vocabulary=1024, hidden=64, feed_forward=128, layers=2, heads=2, key_value_heads=1, steps=4,
    batch_tokens=512,
)  # fmt: skip


@pytest.fixture(scope="session")
def small_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Qwen2 of two layers that has hardly learned anything, in fp32."""
    work = tmp_path_factory.mktemp("base")
    texts = list(composer.base_corpus(seed=7))[:160]
    tiny.build(RECIPE, texts, work / "base", JobContext.local(work / "job"))
    return work / "base"


@dataclass(frozen=True)
class Files:
    train: Path
    eval: Path


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """24 records to learn from and 4 to measure by."""
    folder = tmp_path_factory.mktemp("dataset")
    made = composer.compose(28, seed=7).records
    files = Files(folder / "train.jsonl", folder / "eval.jsonl")
    records.write(files.train, made[4:])
    records.write(files.eval, made[:4])
    return files


class Training:
    """Runs the train stage in this process, in attempts of one job."""

    def __init__(self, folder: Path, base: Path, files: Files) -> None:
        self.folder = folder
        self.base = base
        self.files = files
        self.attempt = 0

    @property
    def adapter(self) -> Path:
        return self.folder / "artifacts" / "adapter"

    def run(self, job_type: type[JobContext] = JobContext, **changed: Any) -> stage.Result:
        self.attempt += 1
        self.folder.mkdir(exist_ok=True)
        log = self.folder / f"events-{self.attempt}.jsonl"
        job = job_type(self.folder, EventWriter(log, attempt=self.attempt))
        params = stage.Params(
            model=self.base,
            train_file=self.files.train,
            eval_file=self.files.eval,
            settings=small_settings(**changed),
        )
        return stage.run(params, job)

    def events(self, attempt: int | None = None) -> list[dict[str, Any]]:
        return EventReader(self.folder / f"events-{attempt or self.attempt}.jsonl").read()

    def curve(self, name: str) -> dict[int, float]:
        """A metric by step, over all attempts."""
        found: dict[int, float] = {}
        for attempt in range(1, self.attempt + 1):
            for event in self.events(attempt):
                if event["kind"] == "metric" and name in event["values"]:
                    assert event["step"] not in found, f"step {event['step']} twice"
                    found[event["step"]] = event["values"][name]
        return found


def small_settings(**changed: Any) -> TrainSettings:
    """Six steps on 24 records: batches of two, two of them a step."""
    values = {
        "rank": 4,
        "alpha": 8,
        "dropout": 0.1,
        "learning_rate": 2e-2,
        "epochs": 1.0,
        "batch_size": 2,
        "accumulation": 2,
        "max_length": 2048,
        "log_every": 2,
        "eval_every": 3,
        "precision": "fp32",
    }
    return default_settings("tiny").train.model_copy(update={**values, **changed})


@pytest.fixture
def training(tmp_path: Path, small_base: Path, dataset: Files) -> Training:
    return Training(tmp_path / "run", small_base, dataset)


@pytest.fixture(scope="session")
def finished(
    tmp_path_factory: pytest.TempPathFactory, small_base: Path, dataset: Files
) -> tuple[Training, stage.Result]:
    """A training that ran from its first to its last step; not to be changed."""
    training = Training(tmp_path_factory.mktemp("finished") / "run", small_base, dataset)
    return training, training.run()
