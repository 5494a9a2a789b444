"""What is missing for an export is told with the stage to run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from haruon_tui import planning
from haruon_tui.errors import ConfigurationError
from haruon_tui.export.choice import params_for, readiness
from haruon_tui.gguf.convert_stage import failed_name
from haruon_tui.jobs.events import EventWriter
from haruon_tui.jobs.store import Run, Store
from haruon_tui.planning import StageState, Step
from haruon_tui.workspace import Workspace

Steps = dict[str, Step]


@pytest.fixture
def steps(workspace: Workspace) -> Steps:
    return planning.plan(workspace, Store(workspace.runs))


def finish(steps: Steps, workspace: Workspace, *stages: str) -> Steps:
    """The steps with these stages done, each with a folder for its artefacts."""
    done = dict(steps)
    for stage in stages:
        run = Run(workspace.runs / f"run-{stage}")
        run.artifacts.mkdir(parents=True)
        done[stage] = replace(steps[stage], finished=run, latest=run, state=StageState.DONE)
    for stage, name in (("convert", "F16"), ("quantize", "Q4_0"), ("quantize", "Q4_K_M")):
        if done[stage].finished:
            (done[stage].finished.artifacts / f"model.{name}.gguf").write_bytes(b"GGUF")
    return done


def asked(workspace: Workspace, steps: Steps, gguf: str | None = None) -> Path:
    return params_for(workspace, Store(workspace.runs), steps, gguf=gguf).gguf


def test_without_a_tuned_model_the_pipeline_is_named(workspace: Workspace, steps: Steps) -> None:
    with pytest.raises(ConfigurationError, match="no tuned model yet") as raised:
        asked(workspace, steps)
    assert "haruon pipeline --to quantize" in str(raised.value)


def test_without_a_gguf_convert_is_named(workspace: Workspace, steps: Steps) -> None:
    with pytest.raises(ConfigurationError, match="no GGUF with a proof: convert is not started"):
        asked(workspace, finish(steps, workspace, "dataset", "merge"))


def test_a_gguf_that_failed_its_proof_is_named(workspace: Workspace, steps: Steps) -> None:
    failed = Run(workspace.runs / "run-failed")
    failed.artifacts.mkdir(parents=True)
    (failed.artifacts / failed_name("model.F16.gguf")).write_bytes(b"GGUF")
    done = finish(steps, workspace, "dataset", "merge")
    done["convert"] = replace(done["convert"], latest=failed, state=StageState.FAILED)
    with pytest.raises(ConfigurationError, match="failed its proof") as raised:
        asked(workspace, done)
    assert "failed-proof" in str(raised.value.where)


_MADE = ("dataset", "merge", "convert", "quantize")


def test_without_a_comparison_the_type_must_be_named(workspace: Workspace, steps: Steps) -> None:
    done = finish(steps, workspace, *_MADE)
    with pytest.raises(ConfigurationError, match="compare is not started") as raised:
        asked(workspace, done)
    assert "haruon gguf compare" in str(raised.value)
    assert raised.value.expected == "a type to take: Q4_0, Q4_K_M, F16"
    assert asked(workspace, done, "q4_k_m").name == "model.Q4_K_M.gguf"


def test_a_file_of_unknown_origin_has_no_proof(
    workspace: Workspace, steps: Steps, tmp_path: Path
) -> None:
    done = finish(steps, workspace, *_MADE)
    other = tmp_path / "other.gguf"
    other.write_bytes(b"GGUF")
    with pytest.raises(ConfigurationError, match="has no proof") as raised:
        asked(workspace, done, str(other))
    assert raised.value.where == str(other)
    with pytest.raises(ConfigurationError, match="no GGUF 'Q6_K' here"):
        asked(workspace, done, "Q6_K")


def test_a_missing_or_stale_evaluation_is_a_note_with_its_command(
    workspace: Workspace, steps: Steps
) -> None:
    done = finish(steps, workspace, *_MADE)
    notes = readiness(done).notes
    assert "not evaluated yet: run haruon evaluate" in notes
    done["evaluate"] = replace(done["evaluate"], state=StageState.STALE)
    stale = "not evaluated for these settings (an older result is stale): run haruon evaluate"
    assert stale in readiness(done).notes
    assert readiness(finish(done, workspace, "evaluate", "compare")).notes == ()


def _evaluated(workspace: Workspace, steps: Steps, model: Path, **changes: object) -> Path:
    """A finished evaluation of one model, with today's settings but for `changes`."""
    store = Store(workspace.runs)
    params = steps["evaluate"].params.model_dump(mode="json")
    made = store.create(
        {
            "stage": "evaluate",
            "params": {**params, "names": ["one"], "models": [str(model)], **changes},
            "inputs": {},
            "fingerprint": f"mark-{model}",
        }
    )
    EventWriter(made.log, attempt=1).write("finished", result={"summary": "done"})
    return made.artifacts / "evaluation.json"


def test_an_evaluation_counts_when_it_is_of_this_model_and_of_todays_settings(
    workspace: Workspace, steps: Steps
) -> None:
    done = finish(steps, workspace, *_MADE)
    store = Store(workspace.runs)
    merged = done["merge"].finished.artifacts / "model"
    file = done["quantize"].finished.artifacts / "model.Q4_0.gguf"
    other = done["quantize"].finished.artifacts / "model.Q4_K_M.gguf"
    _evaluated(workspace, done, other)
    _evaluated(workspace, done, merged, max_new_tokens=17)
    params = params_for(workspace, store, done, gguf="Q4_0")
    assert params.evaluations == []
    assert any("run haruon evaluate" in note for note in params.notes)
    wanted = [_evaluated(workspace, done, file), _evaluated(workspace, done, merged)]
    params = params_for(workspace, store, done, gguf="Q4_0")
    assert params.evaluations == wanted
    assert not any("run haruon evaluate" in note for note in params.notes)
