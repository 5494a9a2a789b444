"""Stage "evaluate": let models write the same reports, and score them all.

Artefacts: evaluation.json (every figure), generations.jsonl (every report with its score and the
reasons for it), report.html (to send to a colleague), and judge.json where a judge was asked.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, Field, model_validator

from haruon_tui import artifacts, stage
from haruon_tui.dataset import records
from haruon_tui.evaluation import choice, figures, gguf_generate, intervals, judge, ranks
from haruon_tui.evaluation.cases import Case, read_all
from haruon_tui.evaluation.generate import ADAPTER_CONFIG, Generation, Generator
from haruon_tui.evaluation.intervals import Estimate
from haruon_tui.evaluation.judge import Params as JudgeParams
from haruon_tui.evaluation.kept import KeptGenerations
from haruon_tui.evaluation.reasons import badness, reasons
from haruon_tui.evaluation.results import (
    EVALUATION_FILE,
    GENERATIONS_FILE,
    JUDGE_FILE,
    REPORT_FILE,
)
from haruon_tui.evaluation.scoring import CaseScore, score
from haruon_tui.evaluation.summary import ALL, GroupSummary, summarise
from haruon_tui.launching.world import World
from haruon_tui.model import compute
from haruon_tui.settings import Settings

if TYPE_CHECKING:
    from haruon_tui.jobs.context import JobContext

Scored = list[tuple[Case, CaseScore]]


class Params(stage.Params):
    """What to evaluate, and how much may be written. Decoding is greedy; `seed` draws the
    bootstrap samples."""

    names: list[str] = Field(min_length=1, description="of the models, in this order")
    models: list[stage.InputPath] = Field(description="a folder, an adapter or a GGUF for each")
    adapter_base: stage.InputPath | None = Field(None, description="what adapters were made on")
    cases: list[stage.InputPath] = Field(min_length=1)
    rules: Literal["guide", "calibrated"] = "calibrated"
    max_new_tokens: int = Field(ge=1)
    batch_size: int = Field(ge=1)
    processes: int = Field(1, ge=1, description="that share the reports, one for each GPU")
    limit: int = Field(0, ge=0)
    seed: int = Field(7, ge=0)
    judge: JudgeParams | None = None

    @property
    def accelerators(self) -> int:
        """One GPU for each process."""
        return self.processes

    @model_validator(mode="after")
    def _one_path_for_each_name(self) -> Params:
        if len(self.names) != len(self.models) or len(set(self.names)) != len(self.names):
            raise ValueError("each model needs a name of its own and one path")
        return self


class ModelReport(BaseModel):
    """What one model came to, by group of cases. `figures` are those of
    haruon_tui.evaluation.figures, by group and key; `groups` the counts, confusion and persona
    qualities. `tokens_per_second` is over whole batches, reading the prompts included."""

    groups: dict[str, GroupSummary]
    figures: dict[str, dict[str, Estimate]] = Field(default_factory=dict)
    tokens_per_second: float | None
    ran_on: str = ""


class Result(stage.Result):
    """Every figure of the evaluation; the texts are in generations.jsonl."""

    cases: int
    models: dict[str, ModelReport]
    judged: dict[str, dict[str, float]] = Field(
        default_factory=dict, description="the judge's mean scores by model, apart from the rules"
    )


def configure(settings: Settings, inputs: stage.Inputs) -> Params:
    """Params from haruon.toml: the base model and the merged model, on the dataset's cases and
    on those of the user's own files."""
    wanted = settings.evaluate
    return Params(
        names=["base", "tuned"],
        models=[inputs.artifact("model", "model"), inputs.artifact("merge", "model")],
        cases=[inputs.artifact("dataset", "cases.jsonl"), *map(Path, wanted.cases)],
        rules=settings.dataset.rules,
        max_new_tokens=wanted.max_new_tokens,
        batch_size=wanted.batch_size,
        processes=wanted.processes,
        limit=wanted.limit,
        seed=wanted.seed,
        judge=judge.configure(wanted),
    )


def run(params: Params, job: JobContext) -> Result:
    """Generate, score and write the artefacts.

    What was generated or judged before a stop or a crash is kept and not made again. Raises
    ConfigurationError for cases, StageError for models that cannot be used.
    """
    from haruon_tui.evaluation import html_report

    cases = read_all(params.cases, params.limit)
    if World.here().launched:
        return _share(params, cases, job)
    if params.judge:
        judge.require_key(params.judge)  # before hours of work, not after
    kept = KeptGenerations(job.scratch / GENERATIONS_FILE)
    ranks.take_in(kept, job.scratch)
    if params.processes > 1 and any(_missing(params, cases, kept).values()):
        ranks.launch(params.processes, job)
        ranks.take_in(kept, job.scratch)
    made = {
        name: _generate(name, path, cases, kept, params, job)
        for name, path in zip(params.names, params.models, strict=True)
    }
    job.log("scoring")
    scores = {name: _scored(cases, made[name], params.rules) for name in params.names}
    reports = {
        name: report(scores[name], made[name], params.seed, kept.ran_on(name))
        for name in params.names
    }
    result = Result(summary=_summary(reports), cases=len(cases), models=reports)
    lines = [
        line(name, case, made[name][case.id], one)
        for name, scored in scores.items()
        for case, one in scored
    ]
    if params.judge:
        verdicts = judge.run(params.judge, lines, job)
        result.judged = judge.means(verdicts)
        with job.artifact(JUDGE_FILE) as temporary:
            artifacts.write_json(temporary, judge.document(params.judge, verdicts))
    with job.artifact(GENERATIONS_FILE) as temporary:
        records.write(temporary, lines)
    whole = document(params, result)
    with job.artifact(EVALUATION_FILE) as temporary:
        artifacts.write_json(temporary, whole)
    with job.artifact(REPORT_FILE) as temporary:
        page = html_report.page(whole, lines, title=job.id)
        temporary.write_text(page, encoding="utf-8")
    return result


def _missing(params: Params, cases: list[Case], kept: KeptGenerations) -> dict[str, list[Case]]:
    """The cases that each model which transformers runs has still to write."""
    return {
        name: [case for case in cases if case.id not in made]
        for name, path in zip(params.names, params.models, strict=True)
        if path.suffix != ".gguf"
        for made in [kept.of(name)]
    }


def _share(params: Params, cases: list[Case], job: JobContext) -> Result:
    """Write this rank's part of what is missing, for the job to take in."""
    world = World.here()
    ranks.use_own_gpu()
    missing = _missing(params, cases, KeptGenerations(job.scratch / GENERATIONS_FILE))
    own = ranks.kept_by(job.scratch, world.rank)
    for name, wanted in missing.items():
        if not wanted:
            continue

        def say(more: float, name: str = name, wanted: list[Case] = wanted) -> None:
            there = len(cases) - len(wanted)
            done = there + min(len(wanted), more * world.size)  # the others are about as far
            job.progress(round(done, 1), len(cases), phase=name, unit="reports")

        path = params.models[params.names.index(name)]
        _write_with_transformers(name, path, wanted, own, params, job, say)
        job.raise_if_stopped()
    return Result(summary=f"rank {world.rank} has written its share", cases=0, models={})


def report(
    scored: Scored, made: dict[str, Generation], seed: int, ran_on: str = ""
) -> ModelReport:
    """The figures of one model over the scores of its cases."""
    return ModelReport(
        groups=summarise(scored),
        figures=_figures(scored, seed),
        tokens_per_second=_speed(made),
        ran_on=ran_on,
    )


def line(name: str, case: Case, made: Generation, one: CaseScore) -> dict[str, Any]:
    """A line of generations.jsonl."""
    return {
        "model": name,
        "group": case.group,
        **made.model_dump(),
        "answers": case.answers,
        "score": one.as_dict(),
        "values": figures.values(one),
        "badness": badness(one),
        "reasons": reasons(one),
    }


def document(params: Params, result: Result) -> dict[str, Any]:
    """What evaluation.json holds."""
    return {
        "params": params.model_dump(mode="json"),
        "bootstrap": {"resamples": intervals.RESAMPLES, "level": intervals.LEVEL},
        **result.model_dump(mode="json"),
    }


def _generate(
    name: str,
    path: Path,
    cases: list[Case],
    kept: KeptGenerations,
    params: Params,
    job: JobContext,
) -> dict[str, Generation]:
    """The model's generation for every case, made now or before."""
    made = kept.of(name)
    wanted = [case for case in cases if case.id not in made]
    there = len(cases) - len(wanted)
    if there:
        job.log(f"{name}: {there} of {len(cases)} reports are there already")

    def say(more: float) -> None:
        job.progress(round(there + more, 1), len(cases), phase=name, unit="reports")

    say(0)
    if wanted:
        with_gguf = path.suffix == ".gguf"
        write = _write_with_gguf if with_gguf else _write_with_transformers
        write(name, path, wanted, kept, params, job, say)
    job.raise_if_stopped()
    return kept.of(name)


def _write_with_gguf(
    name: str,
    path: Path,
    wanted: list[Case],
    kept: KeptGenerations,
    params: Params,
    job: JobContext,
    say: Callable[[float], None],
) -> None:
    where = "llama.cpp, cpu"
    alone = ", in one process, which takes all cores" if params.processes > 1 else ""
    job.log(f"{name}: {len(wanted)} reports to write by {where}{alone}")
    gguf_generate.generate(
        path,
        wanted,
        max_new_tokens=params.max_new_tokens,
        batch_size=params.batch_size,
        on_batch=lambda batch: kept.add(name, where, batch),
        on_progress=say,
        stop_requested=lambda: job.stop_requested,
    )


def _write_with_transformers(
    name: str,
    path: Path,
    wanted: list[Case],
    kept: KeptGenerations,
    params: Params,
    job: JobContext,
    say: Callable[[float], None],
) -> None:
    compute.use_allowed_cores()
    is_adapter = name == choice.ADAPTER or (path / ADAPTER_CONFIG).is_file()
    generator = Generator(path, params.adapter_base if is_adapter else None)
    where = f"transformers, {generator.description}"
    job.log(f"{name}: {len(wanted)} reports to write by {where}")
    for batch in generator.generate(
        wanted,
        max_new_tokens=params.max_new_tokens,
        batch_size=params.batch_size,
        stop_requested=lambda: job.stop_requested,
        on_progress=say,
        share=(World.here().rank, World.here().size),
    ):
        kept.add(name, where, batch)


def _scored(cases: list[Case], made: dict[str, Generation], rules: str) -> Scored:
    return [
        (case, score(case, one.text, one.stopped, one.tokens, rules))
        for case in cases
        if (one := made[case.id])
    ]


def _figures(scored: Scored, seed: int) -> dict[str, dict[str, Estimate]]:
    by_group: dict[str, list[intervals.Values]] = {}
    for case, one in scored:
        by_group.setdefault(case.group, []).append(figures.values(one))
    by_group[ALL] = [figures.values(one) for _, one in scored]
    return {group: intervals.of_means(values, seed) for group, values in by_group.items()}


def _speed(made: dict[str, Generation]) -> float | None:
    seconds = sum(one.seconds for one in made.values())
    return sum(one.tokens for one in made.values()) / seconds if seconds else None


def _summary(reports: dict[str, ModelReport]) -> str:
    complete = ", ".join(f"{name} {one.groups[ALL].complete}" for name, one in reports.items())
    last, report = list(reports.items())[-1]
    levels = ", ".join(
        f"{summary.levels_exact} on {group}"
        for group, summary in report.groups.items()
        if group != ALL
    )
    return f"complete reports: {complete}; trait levels right, {last}: {levels}"
