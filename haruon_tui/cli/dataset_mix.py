"""`haruon data mix` and `haruon data split`: a dataset from files, without a workspace."""

from __future__ import annotations

import argparse
import math
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, cast

from haruon_tui import artifacts
from haruon_tui.cli import output
from haruon_tui.cli.dataset_clean import settings_of
from haruon_tui.cli.meter import Meter
from haruon_tui.errors import CheckFailed, ConfigurationError, Exit
from haruon_tui.jobs.context import JobContext, Level
from haruon_tui.jobs.events import EventWriter

if TYPE_CHECKING:
    from haruon_tui.dataset.augment import How

_SOURCES = ("golden", "composed", "generated", "file")


def mix(arguments: argparse.Namespace) -> int:
    """Build a dataset as the stage does, into a folder that was not there."""
    from haruon_tui.dataset import golden, rules, stage

    _require_new(arguments.out)
    settings = settings_of(arguments)
    name = arguments.rules or (settings.dataset.rules if settings else rules.DEFAULT)
    params = stage.Params(
        golden_file=None if arguments.no_golden else golden.reports_file(),
        compose=_whole("--compose", arguments.compose, 0, 1_000_000),
        files=arguments.files,
        cases_file=golden.cases_file(),
        rules_file=rules.file_of(name),
        eval_fraction=_share("--eval-fraction", arguments.eval_fraction),
        weights=_weights(arguments.weights),
        augment=_number("--augment", arguments.augment, 0, 10),
        augment_by=_ways(arguments.augment_by),
        seed=_whole("--seed", arguments.seed, 0, 2**63),
    )
    with (
        tempfile.TemporaryDirectory() as folder,
        Meter("mixing", quiet=arguments.json) as meter,
    ):
        job = _Foreground(Path(folder) / "mix", meter)
        result = stage.run(params, job)
        with artifacts.replacing(arguments.out) as temporary:
            shutil.copytree(job.artifacts, temporary)
    if arguments.json:
        output.document({"folder": str(arguments.out), **result.model_dump()})
        return Exit.OK
    output.line(f"{arguments.out}: {result.summary}")
    output.table(
        ("source", "records", "lines of train.jsonl"),
        [
            (source, str(result.sources.get(source, 0)), str(count))
            for source, count in result.mix.items()
        ],
    )
    output.line(f"golden: {result.golden_share:.0%} of train.jsonl")
    return Exit.OK


def split(arguments: argparse.Namespace) -> int:
    """Split a file into train.jsonl and eval.jsonl. Lines that are no record are refused."""
    from haruon_tui.dataset import records
    from haruon_tui.dataset.split import stratified

    _require_new(arguments.out)
    fraction = _share("--eval-fraction", arguments.eval_fraction)
    seed = _whole("--seed", arguments.seed, 0, 2**63)
    held: list[records.Record] = []
    for line in records.read(arguments.file):
        if isinstance(line, records.BadLine):
            raise CheckFailed(
                f"the line {line.message} (byte {line.byte})",
                where=f"{arguments.file}:{line.number}",
                do=f"haruon data clean {arguments.file} --out FILE sets such lines aside",
            )
        held.append(line.record)
    if not held:
        raise CheckFailed("has no records", where=str(arguments.file))
    train, held_out = stratified(held, fraction, seed)
    with artifacts.replacing(arguments.out) as temporary:
        temporary.mkdir()
        for name, items in (("train", train), ("eval", held_out)):
            records.write(temporary / f"{name}.jsonl", items)
    found = {"folder": str(arguments.out), "train": len(train), "eval": len(held_out)}
    if arguments.json:
        output.document(found)
    else:
        output.line(f"{arguments.out}: {len(train)} in train.jsonl, {len(held_out)} in eval.jsonl")
    return Exit.OK


class _Foreground(JobContext):
    """A stage run in this process, its progress on the meter and its log on stderr."""

    def __init__(self, folder: Path, meter: Meter) -> None:
        folder.mkdir()
        super().__init__(folder, EventWriter(folder / "events.jsonl", attempt=1))
        self._meter = meter

    def progress(self, done: float, total: float, *, phase: str = "", unit: str = "") -> None:
        self._meter.at(done, total, phase)

    def log(self, text: str, level: Level = "info") -> None:
        output.line(text, stderr=True)


def _require_new(folder: Path) -> None:
    if folder.exists():
        raise ConfigurationError("is there already", where=str(folder), do="name another folder")


def _weights(written: str) -> dict[str, float]:
    """`golden=3,composed=0.5` as a mapping."""
    weights: dict[str, float] = {}
    for pair in filter(None, written.split(",")):
        source, equals, value = pair.partition("=")
        if source not in _SOURCES or not equals:
            raise ConfigurationError(
                f"{pair!r} is no weight",
                where="--weights",
                expected=f"SOURCE=NUMBER,… with {', '.join(_SOURCES)}",
            )
        weights[source] = _number("--weights", value, 0, 100)
    return weights


def _ways(written: str) -> list[How]:
    from haruon_tui.dataset.augment import WAYS

    ways = [way for way in written.split(",") if way]
    if unknown := [way for way in ways if way not in WAYS]:
        raise ConfigurationError(
            f"there is no way {unknown[0]!r}", where="--augment-by", expected=", ".join(WAYS)
        )
    return cast("list[How]", ways)


def _share(option: str, value: float) -> float:
    if not 0.0 <= value < 0.5:
        raise ConfigurationError(
            f"{value} is no share to hold out", where=option, expected="0 or more, below 0.5"
        )
    return value


def _number(option: str, written: str | float, least: float, most: float) -> float:
    try:
        value = float(written)
    except ValueError:
        value = math.nan
    if not least <= value <= most:
        raise ConfigurationError(
            f"{written!r} is not allowed", where=option, expected=f"a number, {least} to {most}"
        )
    return value


def _whole(option: str, value: int, least: int, most: int) -> int:
    return int(_number(option, value, least, most))
