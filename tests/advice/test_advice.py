"""Each symptom in stored runs raises its own advice and no other, whose change can be applied."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from haruon_tui import planning, settings_file
from haruon_tui.advice import evidence, rules
from haruon_tui.cli.parser import parse
from haruon_tui.cli.run import run as run_command
from haruon_tui.dataset import golden, persona, records
from haruon_tui.jobs.events import EventWriter
from haruon_tui.jobs.store import Run, Store
from haruon_tui.settings import TrainSettings
from haruon_tui.workspace import Workspace

STEPS = 40
Curve = Callable[[float], float]


@pytest.fixture
def runs(workspace: Workspace) -> Runs:
    return Runs(workspace)


class Runs:
    """Stored runs of a workspace, all good unless told otherwise."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.store = Store(workspace.runs)

    def set(self, **values: Any) -> None:
        """Keys of haruon.toml as section__key."""
        named = {name.replace("__", "."): value for name, value in values.items()}
        settings_file.set_keys(self.workspace.file, named)
        self.workspace = Workspace.find(self.workspace.folder)

    def add(self, stage: str, params: dict[str, Any], events: Iterator[dict[str, Any]]) -> Run:
        for earlier in list(self.store.of_stage(stage)):  # of the same second: none is the newest
            self.store.remove(earlier)
        job = {"stage": stage, "params": params, "inputs": {}, "fingerprint": stage}
        run = self.store.create(job)
        run.artifacts.mkdir(exist_ok=True)
        writer = EventWriter(run.log, attempt=1)
        for event in events:
            writer.write(event.pop("kind"), **event)
        writer.close()
        return run

    def training(
        self,
        loss: Curve = lambda at: 2 - 1.5 * min(1.0, 2 * at),
        evaluation: Curve = lambda at: 1 - 0.5 * min(1.0, 2 * at),
        norm: Curve = lambda at: 1.0,
        end: dict[str, Any] | None = None,
        changed: dict[str, Any] | None = None,
        **settings: Any,
    ) -> Run:
        """Curves over the share of the training that is done, with ten evaluations."""
        ran = self.workspace.settings.train.model_copy(update=settings)

        def events() -> Iterator[dict[str, Any]]:
            yield {"kind": "running", "host": "here", "pid": 1}
            if changed:
                yield {"kind": "changed", "step": 0, "why": "out of memory", "values": changed}
            for step in range(1, STEPS + 1):
                at = step / STEPS
                values = {"loss": loss(at), "grad_norm": norm(at)}
                yield {"kind": "metric", "step": step, "values": values}
                if step % 4 == 0:
                    values = {"eval_loss": evaluation(at)}
                    yield {"kind": "metric", "step": step, "values": values}
            yield end or {"kind": "finished", "result": {"summary": "done"}}

        TrainSettings.model_validate(ran.model_dump())
        return self.add("train", {"settings": ran.model_dump(mode="json")}, events())

    def dataset(self, golden_share: float = 1.0) -> Run:
        run = self.add("dataset", {}, _ended({"golden_share": golden_share}))
        case = golden.load_cases(golden.cases_file())[0]
        record = records.make(case["answers"], "리포트", id="a", source="golden", levels={})
        records.write(run.artifacts / "train.jsonl", [record])
        return run

    def evaluation(self, count: int = 20, **faulty: Any) -> Run:
        """Reports of 300 tokens; two of them have what `faulty` says."""
        run = self.add("evaluate", {"max_new_tokens": 400}, _ended({}))
        good = {"tokens": 300, "stopped": True, "safe": True, "findings": []}
        lines = [
            {"model": model, "case": f"case-{at}", "score": {**good, **(faulty if at < 2 else {})}}
            for model in ("base", "tuned")
            for at in range(count)
        ]
        records.write(run.artifacts / "generations.jsonl", lines)
        return run

    def comparison(self, lost: float = 0.01) -> Run:
        run = self.add("compare", {}, _ended({}))
        shares = {"F16": 0.0, "Q8_0": 0.001, "Q4_K_M": lost, "Q4_0": 2 * lost}
        rows = [
            {
                "file": f"model.{name}.gguf",
                "type": name,
                "bytes": 10**9,
                "quality": {"perplexity_ratio": [1 + share, 0.001], "divergence": [share, 0.001]},
            }
            for name, share in shares.items()
        ]
        (run.artifacts / "comparison.json").write_text(json.dumps({"rows": rows}))
        return run

    def good(self) -> None:
        self.training()
        self.dataset()
        self.evaluation()
        self.comparison()

    def advice(self) -> list[rules.Advice]:
        return rules.advise(evidence.gather(self.workspace))


def _ended(result: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield {"kind": "running", "host": "here", "pid": 1}
    yield {"kind": "finished", "result": {"summary": "done", **result}}


def failed(what: str, where: str) -> dict[str, Any]:
    return {"kind": "failed", "error": {"what": what, "where": where}}


SYMPTOMS: dict[str, Callable[[Runs], object]] = {
    "memory": lambda r: r.training(
        end=failed("out of memory with 8 examples at once", "train.batch_size"), batch_size=8
    ),
    "diverged": lambda r: r.training(
        loss=lambda at: math.nan if at == 1 else 1.0,
        end=failed("at step 40 the loss is nan", "train.learning_rate"),
    ),
    "overfit": lambda r: r.training(evaluation=lambda at: 1 - at + 1.5 * at * at),
    "underfit": lambda r: r.training(loss=lambda at: 2 - at, evaluation=lambda at: 1.5 - 0.9 * at),
    "learning-rate": lambda r: r.training(loss=lambda at: 1 if at < 0.5 else 1 + 2 * (at - 0.5)),
    "scheduler": lambda r: (
        r.set(train__scheduler="constant"),
        r.training(evaluation=lambda at: 1.0 + 0.005 * math.cos(at * 10 * math.pi)),
    ),
    "clipping": lambda r: (
        r.set(train__max_grad_norm=100.0),
        r.training(norm=lambda at: 30.0 if at == 0.5 else 1.0),
    ),
    "unsafe": lambda r: r.evaluation(safe=False, findings=["error stated-diagnosis at $: …"]),
    "repetition": lambda r: r.evaluation(reading=["warning repeated-sentence at $: …"]),
    "truncated": lambda r: r.evaluation(stopped=False, tokens=400),
    "golden-share": lambda r: (r.set(dataset__golden=True), r.dataset(golden_share=0.04)),
    "quantization": lambda r: r.comparison(lost=0.08),
    "context": lambda r: r.set(chat__context=8192),
}


def test_good_runs_and_an_empty_workspace_raise_nothing(runs: Runs) -> None:
    assert runs.advice() == []
    runs.good()
    assert runs.advice() == []


@pytest.mark.parametrize("symptom", SYMPTOMS)
def test_a_symptom_raises_its_advice_and_no_other(runs: Runs, symptom: str) -> None:
    runs.good()
    SYMPTOMS[symptom](runs)
    assert [one.id for one in runs.advice()] == [symptom]


@pytest.mark.parametrize("symptom", SYMPTOMS)
def test_its_change_is_valid_and_changes_what_the_next_run_is_given(
    runs: Runs, symptom: str
) -> None:
    runs.good()
    SYMPTOMS[symptom](runs)
    before = _planned(runs.workspace)
    (found,) = runs.advice()
    assert (
        run_command(parse(["advise", "-C", str(runs.workspace.folder), "--apply", symptom])) == 0
    )
    runs.workspace = Workspace.find(runs.workspace.folder)
    for name, value in found.changes.items():
        section, key = name.split(".")
        assert getattr(getattr(runs.workspace.settings, section), key) == value
    after = _planned(runs.workspace)
    assert {name for name in after if after[name] != before[name]}


def _planned(workspace: Workspace) -> dict[str, Any]:
    steps = planning.plan(workspace, Store(workspace.runs))
    return {name: step.params.model_dump(mode="json") for name, step in steps.items()}


def test_an_evaluation_of_a_gguf_alone_does_not_hide_the_tuned_models(runs: Runs) -> None:
    runs.good()
    SYMPTOMS["unsafe"](runs)
    job = {"stage": "evaluate", "params": {"names": ["Q4_K_M"]}, "inputs": {}, "fingerprint": "x"}
    for _ in range(5):  # at least one of which is the newest
        writer = EventWriter(runs.store.create(dict(job)).log, attempt=1)
        for event in _ended({}):
            writer.write(event.pop("kind"), **event)
        writer.close()
    assert [one.id for one in runs.advice()] == ["unsafe"]


def test_a_change_that_is_made_is_not_advised_again(runs: Runs) -> None:
    runs.comparison(lost=0.08)
    (found,) = runs.advice()
    settings_file.set_keys(runs.workspace.file, found.changes)
    runs.workspace = Workspace.find(runs.workspace.folder)
    assert found.changes not in [one.changes for one in runs.advice()]


def test_every_rule_has_its_symptom_here() -> None:
    assert len(SYMPTOMS) == len(rules.RULES)


def test_smaller_batches_that_a_training_fell_back_to_are_kept(runs: Runs) -> None:
    runs.training(changed={"batch_size": [8, 4], "accumulation": [2, 4]}, batch_size=8)
    (found,) = runs.advice()
    assert (found.id, found.changes) == (
        "memory",
        {"train.batch_size": 4, "train.accumulation": 4},
    )


def test_with_early_stopping_on_an_overfit_model_gets_fewer_epochs(runs: Runs) -> None:
    runs.training(evaluation=lambda at: 1 - at + 1.5 * at * at, early_stopping=5, epochs=3.0)
    (found,) = runs.advice()
    assert 0 < found.changes["train.epochs"] < 3.0


def test_the_command_shows_evidence_and_change(
    runs: Runs, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(runs.workspace.folder)
    assert run_command(parse(["advise", "-C", folder])) == 0
    assert "Nothing to advise" in capsys.readouterr().out
    runs.comparison(lost=0.08)
    assert run_command(parse(["advise", "-C", folder])) == 0
    shown = capsys.readouterr().out
    assert "quantization: Four bits cost this model too much" in shown
    assert "Q4_K_M +8.0 %" in shown
    assert "haruon advise --apply quantization" in shown
    assert run_command(parse(["advise", "-C", folder, "--apply", "overfit"])) == 2
    assert "quantization" in capsys.readouterr().err


def test_prompts_are_measured_from_the_training_data(runs: Runs) -> None:
    runs.dataset()
    case = golden.load_cases(golden.cases_file())[0]
    words = len(persona.user_turn(case["answers"]).split())
    assert evidence.gather(runs.workspace).prompt_tokens > words
