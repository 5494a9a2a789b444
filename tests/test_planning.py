"""The plan knows what is done, what is stale, and what a change makes stale."""

from __future__ import annotations

import pytest

from haruon_tui import planning
from haruon_tui.errors import ConfigurationError
from haruon_tui.jobs.events import EventWriter
from haruon_tui.jobs.store import Store
from haruon_tui.planning import StageState
from haruon_tui.stage import PIPELINE
from haruon_tui.workspace import Workspace


@pytest.fixture
def done(workspace):
    """A workspace in which every stage has finished, by its log."""
    store = Store(workspace.runs)
    for name in PIPELINE:
        step = planning.plan(workspace, store)[name]
        run = store.create(
            {
                "stage": name,
                "params": step.params.model_dump(mode="json"),
                "inputs": {},
                "fingerprint": step.fingerprint,
            }
        )
        EventWriter(run.log, attempt=1).write("finished", result={"summary": "done"})
    return workspace


def states(workspace: Workspace) -> dict[str, StageState]:
    return {
        name: step.state for name, step in planning.plan(workspace, Store(workspace.runs)).items()
    }


def test_a_new_workspace_has_nothing_started_and_says_what_comes_first(workspace):
    assert set(states(workspace).values()) == {StageState.NOT_STARTED}
    steps = planning.plan(workspace, Store(workspace.runs))
    with pytest.raises(ConfigurationError, match="train needs the result of model"):
        planning.require_ready(steps, "train")


def test_everything_finished_is_done_and_planning_writes_nothing(done):
    before = sorted(done.folder.rglob("*"))
    assert set(states(done).values()) == {StageState.DONE}
    assert sorted(done.folder.rglob("*")) == before


@pytest.mark.parametrize(
    ("change", "first_stale"),
    [
        ("[dataset]\ncompose = 10\n", "dataset"),
        ("[train]\nepochs = 9\n", "train"),
        ("[evaluate]\nmax_new_tokens = 99\n", "evaluate"),
        ('[gguf]\nquantize = ["Q8_0"]\n', "quantize"),
        ("[chat]\nmax_tokens = 9\n", "chat"),
    ],
)
def test_a_change_makes_its_stage_and_what_follows_from_it_stale_and_nothing_else(
    done, change, first_stale
):
    done.file.write_text(f'profile = "tiny"\n{change}')
    stale = {name for name, state in states(done).items() if state is StageState.STALE}
    follows = {
        "dataset": {"dataset", "train", "merge", "evaluate", "convert", "quantize", "compare",
                    "chat"},
        "train": {"train", "merge", "evaluate", "convert", "quantize", "compare", "chat"},
        "evaluate": {"evaluate", "compare"},
        "quantize": {"quantize", "compare", "chat"},
        "chat": {"chat"},
    }  # fmt: skip
    assert stale == follows[first_stale]


def test_changing_it_back_makes_everything_done_again(done):
    text = done.file.read_text()
    done.file.write_text('profile = "tiny"\n[train]\nepochs = 9\n')
    assert StageState.STALE in states(done).values()
    done.file.write_text(text)
    assert set(states(done).values()) == {StageState.DONE}


def test_a_failed_attempt_with_todays_settings_is_shown_as_failed(workspace):
    store = Store(workspace.runs)
    step = planning.plan(workspace, store)["dataset"]
    run = store.create(
        {"stage": "dataset", "params": {}, "inputs": {}, "fingerprint": step.fingerprint}
    )
    writer = EventWriter(run.log, attempt=1)
    writer.write("failed", error={"what": "no"}, exit_code=3)
    assert states(workspace)["dataset"] is StageState.FAILED


def test_the_span_of_a_pipeline_is_checked():
    assert planning.select("train", "merge") == ("train", "merge")
    with pytest.raises(ConfigurationError, match="comes after"):
        planning.select("merge", "train")
