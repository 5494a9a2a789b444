"""What a training writes for TensorBoard and for Weights & Biases is its curve."""

from __future__ import annotations

import json
import struct
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from haruon_tui.errors import Stopped
from haruon_tui.jobs.context import JobContext
from haruon_tui.jobs.events import EventReader, EventWriter
from haruon_tui.training import stage
from tests.training.conftest import Files, small_settings

METRICS = ("loss", "eval_loss", "learning_rate", "grad_norm", "tokens_per_second")
KEY = "0123456789abcdef0123456789abcdef01234567"
Scalars = dict[str, dict[int, float]]


def train(
    folder: Path, base: Path, files: Files, attempt: int = 1, job_type: Any = JobContext
) -> None:
    """An attempt of one job with one log, as a child process runs it."""
    folder.mkdir(exist_ok=True)
    params = stage.Params(
        model=base, train_file=files.train, eval_file=files.eval, settings=small_settings()
    )
    writer = EventWriter(folder / "events.jsonl", attempt=attempt)
    try:
        stage.run(params, job_type(folder, writer))
    finally:
        writer.close()


def curve(folder: Path) -> Scalars:
    found: Scalars = defaultdict(dict)
    for event in EventReader(folder / "events.jsonl").read():
        if event["kind"] == "metric":
            for name, value in event["values"].items():
                found[name][event["step"]] = value
    return dict(found)


def tensorboard(folder: Path) -> Scalars:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    reader = EventAccumulator(str(folder / "tensorboard"))
    reader.Reload()
    found: Scalars = {}
    for name in reader.Tags()["scalars"]:
        points = reader.Scalars(name)
        assert len({point.step for point in points}) == len(points), f"a step of {name} twice"
        found[name] = {point.step: point.value for point in points}
    return found


def in_fp32(scalars: Scalars) -> Scalars:
    """As TensorBoard's files hold numbers."""
    return {
        name: {
            step: struct.unpack("f", struct.pack("f", value))[0] for step, value in series.items()
        }
        for name, series in scalars.items()
    }


class StoppedInStepFour(JobContext):
    def progress(self, done: float, total: float, *, phase: str = "", unit: str = "") -> None:
        super().progress(done, total, phase=phase, unit=unit)
        if phase == "training" and done == 4:
            self.stop.set()


def test_tensorboard_reads_back_every_scalar_of_the_curve(
    tmp_path: Path, small_base: Path, dataset: Files
) -> None:
    train(tmp_path / "run", small_base, dataset)
    written = curve(tmp_path / "run")
    assert set(METRICS) <= set(written)
    assert tensorboard(tmp_path / "run") == in_fp32(written)


def test_after_a_stop_every_step_is_there_once(
    tmp_path: Path, small_base: Path, dataset: Files
) -> None:
    with pytest.raises(Stopped):
        train(tmp_path / "run", small_base, dataset, 1, StoppedInStepFour)
    train(tmp_path / "run", small_base, dataset, 2)
    written = curve(tmp_path / "run")
    assert sorted(written["loss"]) == [1, 2, 4, 6]
    assert tensorboard(tmp_path / "run") == in_fp32(written)


def test_without_wandb_a_key_gets_one_line_that_says_how_to_install_it(
    tmp_path: Path, small_base: Path, dataset: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setattr("haruon_tui.training.loggers.find_spec", lambda _: None)
    train(tmp_path / "run", small_base, dataset)
    said = [
        event["text"]
        for event in EventReader(tmp_path / "run" / "events.jsonl").read()
        if event["kind"] == "log" and event["level"] == "warning"
    ]
    assert said == [
        'WANDB_API_KEY is set and wandb is not installed: pip install "haruon-tui[wandb]"'
    ]
    assert KEY not in (tmp_path / "run" / "events.jsonl").read_text("utf-8")


def test_the_offline_folder_of_weights_and_biases_holds_the_curve_and_no_key(
    tmp_path: Path, small_base: Path, dataset: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb", reason="wandb is an extra: pip install 'haruon-tui[wandb]'")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    train(tmp_path / "run", small_base, dataset)
    files = list((tmp_path / "run" / "wandb").rglob("*.wandb"))
    assert len(files) == 1
    assert wandb_history(files[0]) == curve(tmp_path / "run")
    for file in (tmp_path / "run").rglob("*"):
        assert not file.is_file() or KEY.encode() not in file.read_bytes(), file


def wandb_history(file: Path) -> Scalars:
    from wandb.proto.wandb_internal_pb2 import Record

    found: Scalars = defaultdict(dict)
    for data in leveldb_records(file.read_bytes()[7:]):
        record = Record()
        record.ParseFromString(data)
        if record.WhichOneof("record_type") != "history":
            continue
        values = {
            item.key or ".".join(item.nested_key): json.loads(item.value_json)
            for item in record.history.item
        }
        step = int(values.pop("_step", record.history.step.num))
        for name, value in values.items():
            if not name.startswith("_"):
                found[name][step] = value
    return dict(found)


def leveldb_records(log: bytes) -> Iterator[bytes]:
    """The records of a log in LevelDB's format, as wandb writes it after its header of 7 bytes:
    blocks of 32 KiB of chunks, each with a checksum, a length and its place in its record."""
    block, header = 32768, 7
    at, whole = 0, b""
    while at + header <= len(log):
        room = block - (at + header) % block  # the file's own header counts in the first block
        if room < header:
            at += room
            continue
        _, length, place = struct.unpack_from("<IHB", log, at)
        whole += log[at + header : at + header + length]
        at += header + length
        if place in (1, 4):  # whole, or the last of several
            yield whole
            whole = b""
