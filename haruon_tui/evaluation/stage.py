"""Stage "evaluate": let the base and the tuned model write the same reports, and score both."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, Field

from haruon_tui import artifacts, stage
from haruon_tui.dataset import records
from haruon_tui.evaluation.cases import Case, read_cases
from haruon_tui.evaluation.generate import Generation, Generator
from haruon_tui.evaluation.kept import KeptGenerations
from haruon_tui.evaluation.scoring import CaseScore, score
from haruon_tui.evaluation.summary import ALL, GroupSummary, summarise
from haruon_tui.model import compute
from haruon_tui.settings import Settings

if TYPE_CHECKING:
    from haruon_tui.jobs.context import JobContext

ModelName = Literal["base", "tuned"]


class Params(stage.Params):
    """What to evaluate, and how much may be written. Decoding is greedy: no seed matters."""

    base_model: stage.InputPath
    tuned_model: stage.InputPath
    cases: stage.InputPath
    rules: Literal["guide", "calibrated"] = "calibrated"
    max_new_tokens: int = Field(ge=1)
    batch_size: int = Field(ge=1)
    limit: int = Field(0, ge=0)


class ModelReport(BaseModel):
    """The figures of one model: by group of cases, and the speed of writing them."""

    groups: dict[str, GroupSummary]
    tokens_per_second: float | None


class Result(stage.Result):
    """Every figure of the evaluation; the texts are in generations.jsonl."""

    cases: int
    base: ModelReport
    tuned: ModelReport


def configure(settings: Settings, inputs: stage.Inputs) -> Params:
    """Params from haruon.toml, the base model, the merged model and the dataset's cases."""
    return Params(
        base_model=inputs.artifact("model", "model"),
        tuned_model=inputs.artifact("merge", "model"),
        cases=inputs.artifact("dataset", "cases.jsonl"),
        rules=settings.dataset.rules,
        max_new_tokens=settings.evaluate.max_new_tokens,
        batch_size=settings.evaluate.batch_size,
        limit=settings.evaluate.limit,
    )


def run(params: Params, job: JobContext) -> Result:
    """Generate, score and write evaluation.json and generations.jsonl.

    What was generated before a stop or a crash is kept and not generated again. Raises
    StageError for cases or models that cannot be used.
    """
    cases = read_cases(params.cases, params.limit)
    kept = KeptGenerations(job.scratch / "generations.jsonl")
    models: dict[ModelName, Path] = {"base": params.base_model, "tuned": params.tuned_model}
    generations = {
        name: _generate(name, folder, cases, kept, params, job) for name, folder in models.items()
    }
    job.log("scoring")
    scores = {
        name: [
            (case, score(case, one.text, one.stopped, one.tokens, params.rules))
            for case in cases
            if (one := made[case.id])
        ]
        for name, made in generations.items()
    }
    reports = {
        name: ModelReport(groups=summarise(scores[name]), tokens_per_second=_speed(made))
        for name, made in generations.items()
    }
    result = Result(
        summary=_summary(reports), cases=len(cases), base=reports["base"], tuned=reports["tuned"]
    )
    _write_generations(job, generations, scores)
    with job.artifact("evaluation.json") as temporary:
        artifacts.write_json(
            temporary, {"params": params.model_dump(mode="json"), **result.model_dump()}
        )
    return result


def _generate(
    name: ModelName,
    folder: Path,
    cases: list[Case],
    kept: KeptGenerations,
    params: Params,
    job: JobContext,
) -> dict[str, Generation]:
    """The model's generation for every case, made now or before."""
    wanted = [case for case in cases if case.id not in kept.of(name)]
    there = len(cases) - len(wanted)
    if there:
        job.log(f"{name}: {there} of {len(cases)} reports are there already")
    job.progress(there, len(cases), phase=name, unit="reports")
    if wanted:
        compute.use_allowed_cores()
        generator = Generator(folder)
        job.log(f"{name}: {len(wanted)} reports to write on {generator.description}")
        for batch in generator.generate(
            wanted,
            max_new_tokens=params.max_new_tokens,
            batch_size=params.batch_size,
            stop_requested=lambda: job.stop_requested,
            on_progress=lambda more: job.progress(
                round(there + more, 1), len(cases), phase=name, unit="reports"
            ),
        ):
            kept.add(name, batch)
        job.raise_if_stopped()
    return kept.of(name)


def _write_generations(
    job: JobContext,
    generations: dict[ModelName, dict[str, Generation]],
    scores: dict[ModelName, list[tuple[Case, CaseScore]]],
) -> None:
    with job.artifact("generations.jsonl") as temporary:
        lines = [
            {
                "model": name,
                "group": case.group,
                **generations[name][case.id].model_dump(),
                "score": one.as_dict(),
            }
            for name, scored in scores.items()
            for case, one in scored
        ]
        records.write(temporary, lines)


def _speed(made: dict[str, Generation]) -> float | None:
    seconds = sum(one.seconds for one in made.values())
    return sum(one.tokens for one in made.values()) / seconds if seconds else None


def _summary(reports: dict[ModelName, ModelReport]) -> str:
    base, tuned = reports["base"].groups, reports["tuned"].groups
    levels = ", ".join(
        f"{summary.levels_exact} on {group}" for group, summary in tuned.items() if group != ALL
    )
    return (
        f"complete reports: base {base[ALL].complete}, tuned {tuned[ALL].complete}; "
        f"trait levels right, tuned: {levels}"
    )
