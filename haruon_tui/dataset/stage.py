"""Stage "dataset": collect golden, composed and own records, validate, split, mix, write.

Artefacts: train.jsonl and eval.jsonl (dataset records), cases.jsonl (evaluation cases, never
among the records), validation.json (counts, findings per rule, levels per trait, sources).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from haruon_tui import artifacts, stage
from haruon_tui.dataset import golden, mix, records, rules, split
from haruon_tui.dataset.augment import WAYS, How
from haruon_tui.dataset.collection import Collection
from haruon_tui.dataset.records import Record
from haruon_tui.errors import ConfigurationError, StageError
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
    split: Literal["stratified", "shuffled"] = "stratified"
    weights: dict[str, float] = Field(
        default_factory=dict, description="times that a record is trained on, by its source"
    )
    augment: float = Field(0.0, ge=0.0, description="records made from each record")
    augment_by: list[How] = Field(default_factory=lambda: list(WAYS))
    seed: int = Field(ge=0, description="of the composer, the split and the mix")


class Result(stage.Result):
    train: int
    eval: int
    cases: int
    left_out: int = Field(description="records and lines of the user's files that are not used")
    warnings: int
    sources: dict[str, int] = Field(description="records used, by source")
    mix: dict[str, int] = Field(
        default_factory=dict, description="lines of train.jsonl by source, repeats counted"
    )
    repeats: int = Field(0, description="lines of train.jsonl that stand in it before")
    augmented: int = Field(0, description="lines of train.jsonl made from others of it")
    golden_share: float = Field(0.0, description="golden and made from golden, of train.jsonl")


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
        split=wanted.split,
        weights={
            "golden": wanted.golden_weight,
            "composed": wanted.composed_weight,
            "generated": wanted.generated_weight,
            "file": wanted.file_weight,
        },
        augment=wanted.augment,
        augment_by=wanted.augment_by,
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
    collection = Collection(
        job, rules.load_file(params.rules_file), cases, near_cases=params.cases_file is not None
    )
    if params.golden_file:
        collection.add_golden(params.golden_file)
    collection.add_composed(composed.records)
    for path in params.files:
        collection.add_file(path)
    divide = split.stratified if params.split == "stratified" else split.shuffled
    train, held_out = divide(collection.records, params.eval_fraction, params.seed)
    job.raise_if_stopped()
    recipe = mix.Recipe(params.weights, params.augment, tuple(params.augment_by), params.seed)
    final = mix.mixed(train, recipe, collection.validator)
    if not final.records:
        raise ConfigurationError(
            "the weights leave nothing to train on", where="[dataset]", expected="one above 0"
        )
    if leaked := collection.leaks([*final.records, *held_out]):
        raise StageError(
            f"{len(leaked)} records are nearly evaluation cases, {leaked[0]} first",
            do="haruon data clean sets such records of a file aside",
        )
    job.raise_if_stopped()
    train = final.records
    for name, items in (("train", train), ("eval", held_out), ("cases", cases)):
        with job.artifact(f"{name}.jsonl", records=len(items)) as temporary:
            records.write(temporary, items)
    used = Counter(record["metadata"]["source"] for record in collection.records)
    result = Result(
        summary=_summary(final, held_out, cases, collection),
        train=len(train),
        eval=len(held_out),
        cases=len(cases),
        left_out=collection.left_out,
        warnings=collection.warnings,
        sources=dict(used),
        mix=final.sources,
        repeats=final.repeats,
        augmented=final.augmented,
        golden_share=round(final.golden_share, 4),
    )
    with job.artifact("validation.json") as temporary:
        artifacts.write_json(temporary, {**result.model_dump(), **collection.as_dict()})
    return result


def _summary(
    final: mix.Mixed,
    held_out: Sequence[Record],
    cases: Sequence[golden.Case],
    collection: Collection,
) -> str:
    left = f", {collection.left_out} left out" if collection.left_out else ""
    parts = [f"{final.repeats} repeated"] if final.repeats else []
    parts += [f"{final.augmented} augmented"] if final.augmented else []
    made = f" ({', '.join(parts)})" if parts else ""
    return (
        f"{len(final.records)} to train on{made}, {len(held_out)} to measure the loss, "
        f"{len(cases)} evaluation cases{left}"
    )
