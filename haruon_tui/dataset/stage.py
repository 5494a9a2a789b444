"""Stage "dataset": collect golden, composed and own records, validate, split, write.

Artefacts: train.jsonl and eval.jsonl (dataset records), cases.jsonl (evaluation cases, never
among the records), validation.json (counts, findings per rule, levels per trait, sources).
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from haruon_tui import artifacts, stage
from haruon_tui.dataset import golden, records, rules
from haruon_tui.dataset.collection import Collection
from haruon_tui.dataset.records import Record
from haruon_tui.errors import ConfigurationError
from haruon_tui.stage import InputPath

if TYPE_CHECKING:
    from haruon_tui.jobs.context import JobContext
    from haruon_tui.settings import Settings


class Params(stage.Params):
    golden_file: InputPath | None = Field(description="None leaves the golden reports out")
    compose: int = Field(ge=0, description="records to compose")
    files: list[InputPath] = Field(description="JSONL files of the user, in this order")
    cases_file: InputPath | None = Field(description="None takes the composer's held-out cases")
    rules_file: InputPath = Field(description="the rule set that every record must pass")
    eval_fraction: float = Field(ge=0.0, lt=0.5, description="share of records in eval.jsonl")
    seed: int = Field(ge=0, description="of the composer and of the shuffle")


class Result(stage.Result):
    train: int
    eval: int
    cases: int
    left_out: int = Field(description="records and lines of the user's files that are not used")
    warnings: int
    sources: dict[str, int] = Field(description="records used, by source")


def configure(settings: Settings, inputs: stage.Inputs) -> Params:
    """Take the dataset section; the `tiny` profile is measured by the composer's own cases."""
    wanted = settings.dataset
    return Params(
        golden_file=golden.reports_file() if wanted.golden else None,
        compose=wanted.compose,
        files=[Path(name) for name in wanted.files],
        cases_file=None if settings.profile == "tiny" else golden.cases_file(),
        rules_file=rules.file_of(wanted.rules),
        eval_fraction=wanted.eval_fraction,
        seed=wanted.seed,
    )


def run(params: Params, job: JobContext) -> Result:
    """Build the dataset.

    Raises ConfigurationError for a missing file or when nothing is asked for, CheckFailed for a
    file of the user without one valid record, StageError when our own data breaks its rules.
    """
    from haruon_tui.dataset.composer import compose

    if not (params.golden_file or params.compose or params.files):
        raise ConfigurationError(
            "there is nothing to build a dataset from",
            where="[dataset]",
            expected="golden = true, compose above 0, or files",
        )
    composed = compose(params.compose, params.seed)
    cases = golden.load_cases(params.cases_file) if params.cases_file else composed.cases
    collection = Collection(job, rules.load_file(params.rules_file), cases)
    if params.golden_file:
        collection.add_golden(params.golden_file)
    collection.add_composed(composed.records)
    for path in params.files:
        collection.add_file(path)
    train, held_out = split(collection.records, params.eval_fraction, params.seed)
    job.raise_if_stopped()
    for name, items in (("train", train), ("eval", held_out), ("cases", cases)):
        with job.artifact(f"{name}.jsonl", records=len(items)) as temporary:
            records.write(temporary, items)
    used = Counter(record["metadata"]["source"] for record in collection.records)
    result = Result(
        summary=_summary(train, held_out, cases, collection),
        train=len(train),
        eval=len(held_out),
        cases=len(cases),
        left_out=collection.left_out,
        warnings=collection.warnings,
        sources=dict(used),
    )
    with job.artifact("validation.json") as temporary:
        artifacts.write_json(temporary, {**result.model_dump(), **collection.as_dict()})
    return result


def split(
    items: Sequence[Record], fraction: float, seed: int
) -> tuple[list[Record], list[Record]]:
    """Shuffle by `seed` and hold `fraction` out: (train, eval). Neither is left empty unless
    `fraction` is 0 or there is only one record."""
    shuffled = list(items)
    random.Random(seed).shuffle(shuffled)
    count = round(len(shuffled) * fraction)
    if fraction > 0 and len(shuffled) > 1:
        count = min(max(count, 1), len(shuffled) - 1)
    return shuffled[count:], shuffled[:count]


def _summary(
    train: Sequence[Record],
    held_out: Sequence[Record],
    cases: Sequence[golden.Case],
    collection: Collection,
) -> str:
    left = f", {collection.left_out} left out" if collection.left_out else ""
    return (
        f"{len(train)} to train on, {len(held_out)} to measure the loss, "
        f"{len(cases)} evaluation cases{left}"
    )
