"""Which GGUF the app gets, and whether everything it needs is there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from haruon_tui.comparison import phone
from haruon_tui.comparison.choice import choose
from haruon_tui.comparison.rows import COMPARISON_FILE, read_rows
from haruon_tui.errors import ConfigurationError
from haruon_tui.evaluation.results import EVALUATION_FILE
from haruon_tui.export.stage import Params
from haruon_tui.gguf.convert_stage import F16_FILE, PROOF_FILE, failed_name
from haruon_tui.jobs.store import Run, State, Store
from haruon_tui.settings import Quantization
from haruon_tui.workspace import Workspace

if TYPE_CHECKING:
    from haruon_tui.planning import Step

DEFAULT_FOLDER = Path("export", "app")
"""Below the workspace."""

EVALUATE = "haruon evaluate"


@dataclass(frozen=True)
class Candidate:
    """A proven GGUF under today's settings."""

    type: str
    path: Path
    run: Run
    bytes: int


@dataclass(frozen=True)
class Readiness:
    """What there is to export. `problem` is why nothing can be; `notes` what is missing that the
    export can do without; `recommended` is the comparison's choice, with its reason."""

    candidates: tuple[Candidate, ...] = ()
    recommended: Candidate | None = None
    reason: str = ""
    notes: tuple[str, ...] = ()
    problem: ConfigurationError | None = None


def readiness(steps: Mapping[str, Step], store: Store | None = None) -> Readiness:
    """What the plan of a workspace has for the app. With the `store` of its runs, an evaluation of
    the recommended file counts, too, that was asked for beside the plan."""
    if problem := _problem(steps):
        return Readiness(problem=problem)
    found = _candidates(steps)
    recommended, reason = _recommended(steps, found)
    needed = ["quantize", "compare"]
    if not (store and recommended and _evaluations(store, steps, recommended)):
        needed.append("evaluate")
    notes = [note for stage in needed if (note := _note(steps, stage))]
    return Readiness(tuple(found), recommended, reason, tuple(notes))


def params_for(
    workspace: Workspace,
    store: Store,
    steps: Mapping[str, Step],
    *,
    gguf: str | None = None,
    out: Path | None = None,
    replace: bool = False,
) -> Params:
    """What the stage needs for the GGUF named by its type or path, by default the one that the
    comparison recommends.

    Raises ConfigurationError that names the stage to run for what is missing.
    """
    ready = readiness(steps, store)
    if ready.problem:
        raise ready.problem
    chosen = _chosen(ready, gguf, steps)
    evaluations = _evaluations(store, steps, chosen)
    convert, dataset, compare = (
        steps[name].finished for name in ("convert", "dataset", "compare")
    )
    assert convert
    assert dataset
    settings = workspace.settings
    return Params(
        gguf=chosen.path,
        type=chosen.type,
        proof=convert.artifacts / PROOF_FILE,
        cases=[dataset.artifacts / "cases.jsonl", *map(Path, settings.evaluate.cases)],
        comparison=compare.artifacts / COMPARISON_FILE if compare else None,
        evaluations=evaluations,
        notes=[note for note in ready.notes if not (evaluations and EVALUATE in note)],
        runs={name: step.finished.id for name, step in steps.items() if step.finished},
        rules=settings.dataset.rules,
        context=settings.chat.context,
        max_tokens=settings.chat.max_tokens,
        temperature=settings.chat.temperature,
        top_p=settings.chat.top_p,
        out=(out or workspace.folder / DEFAULT_FOLDER).expanduser().absolute(),
        replace=replace,
    )


def _problem(steps: Mapping[str, Step]) -> ConfigurationError | None:
    if steps["merge"].finished is None:
        return ConfigurationError(
            f"there is no tuned model yet: merge is {steps['merge'].state}",
            do="haruon pipeline --to quantize trains, merges, converts and quantizes",
        )
    convert = steps["convert"]
    if convert.finished is None:
        latest = convert.latest
        failed = latest.artifacts / failed_name(F16_FILE) if latest else None
        if failed and failed.exists():
            return ConfigurationError(
                "the GGUF failed its proof, so that nothing made of it can be handed on",
                where=str(failed),
                do=f"read {failed.with_name(PROOF_FILE)}, then haruon gguf convert",
            )
        return ConfigurationError(
            f"there is no GGUF with a proof: convert is {convert.state}",
            do="haruon pipeline --to quantize",
        )
    if steps["dataset"].finished is None:
        return ConfigurationError(
            f"the evaluation cases are not there: dataset is {steps['dataset'].state}",
            do="haruon data build",
        )
    return None


def _note(steps: Mapping[str, Step], stage: str) -> str:
    step = steps[stage]
    if step.finished:
        return ""
    what, command = {
        "quantize": ("no quantized file", "haruon gguf quantize"),
        "compare": ("not compared", "haruon gguf compare"),
        "evaluate": ("not evaluated", EVALUATE),
    }[stage]
    stale = step.state == "stale"
    state = " for these settings (an older result is stale)" if stale else " yet"
    return f"{what}{state}: run {command}"


def _candidates(steps: Mapping[str, Step]) -> list[Candidate]:
    found = []
    for stage in ("quantize", "convert"):
        if run := steps[stage].finished:
            for path in sorted(run.artifacts.glob("model.*.gguf")):
                kind = path.name.removesuffix(".gguf").removeprefix("model.")
                found.append(Candidate(kind, path, run, path.stat().st_size))
    return found


def _recommended(
    steps: Mapping[str, Step], found: list[Candidate]
) -> tuple[Candidate | None, str]:
    compare = steps["compare"].finished
    if compare is None:
        return None, ""
    choice = choose(read_rows(compare.folder), phone.load())
    return next((one for one in found if one.path.name == choice.file), None), choice.sentence


def _chosen(ready: Readiness, wanted: str | None, steps: Mapping[str, Step]) -> Candidate:
    types = ", ".join(one.type for one in ready.candidates)
    if wanted is None:
        if ready.recommended:
            return ready.recommended
        raise ConfigurationError(
            ready.reason or f"no file is recommended: compare is {steps['compare'].state}",
            expected=f"a type to take: {types}",
            do="haruon gguf compare recommends one; or haruon export app --gguf TYPE",
        )
    for one in ready.candidates:
        if wanted.lower() == one.type.lower() or Path(wanted).expanduser().resolve() == one.path:
            return one
    if Path(wanted).expanduser().is_file():
        raise ConfigurationError(
            "has no proof: no finished run of this workspace made it under these settings",
            where=wanted,
            expected=types,
            do="haruon gguf convert and quantize make files with a proof",
        )
    raise ConfigurationError(
        f"there is no GGUF {wanted!r} here",
        where="--gguf",
        expected=types,
        do=f"haruon gguf quantize --set 'gguf.quantize=[\"{wanted}\"]' makes it"
        if wanted in get_args(Quantization)
        else "haruon export app --gguf TYPE, with one of these",
    )


def _evaluations(store: Store, steps: Mapping[str, Step], chosen: Candidate) -> list[Path]:
    """The newest finished evaluations of this very file and of the model that it was made from,
    on today's cases and settings."""
    merge = steps["merge"].finished
    wanted = steps["evaluate"].params.model_dump(mode="json")
    found = []
    for model in (chosen.path, merge.artifacts / "model" if merge else None):
        for run in store.of_stage("evaluate"):
            params = run.job.params
            same = all(params.get(key) == wanted.get(key) for key in _SETTINGS)
            if (
                same
                and str(model) in map(str, params.get("models", []))
                and run.status().state is State.FINISHED
            ):
                found.append(run.artifacts / EVALUATION_FILE)
                break
    return list(dict.fromkeys(found))


_SETTINGS = ("cases", "rules", "max_new_tokens", "limit")
"""Parameters of an evaluation that its figures rest on, beside the models."""
