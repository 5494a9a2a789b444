"""Kill -9 at any moment of an evaluation: it goes on, and no case is counted twice."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from haruon_tui.evaluation import stage
from haruon_tui.evaluation.generate import Generation
from haruon_tui.evaluation.kept import KeptGenerations
from haruon_tui.jobs import launch
from haruon_tui.jobs.store import Run, State, Store
from haruon_tui.workspace import Workspace

TIMED = ("seconds",)


def until(holds: Callable[[], Any], what: str, seconds: float = 90.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.005)


def batches(run: Run) -> int:
    kept = run.folder / "scratch" / "generations.jsonl"
    return len(kept.read_bytes().splitlines()) if kept.exists() else 0


def written(run: Run) -> list[dict[str, Any]]:
    until(lambda: not run.status().state.active, "the run does not end")
    assert run.status().state is State.FINISHED, run.status().error
    lines = (run.artifacts / "generations.jsonl").read_text("utf-8").splitlines()
    return [
        {key: value for key, value in json.loads(line).items() if key not in TIMED}
        for line in lines
    ]


def figures(run: Run) -> dict[str, Any]:
    models = json.loads((run.artifacts / "evaluation.json").read_text("utf-8"))["models"]
    return {name: [model["groups"], model["figures"]] for name, model in models.items()}


def test_a_killed_evaluation_ends_as_one_that_was_not(
    workspace: Workspace, gguf_model: tuple[Path, Path], many_cases: Path
) -> None:
    params = stage.Params(
        names=["first", "second"],
        models=[gguf_model[1], gguf_model[1]],
        cases=[many_cases],
        max_new_tokens=24,
        batch_size=2,
    )
    store = Store(workspace.runs)
    whole = launch.submit(workspace, store, "evaluate", params).run
    undisturbed = written(whole)
    assert len({(line["model"], line["case"]) for line in undisturbed}) == len(undisturbed) == 24

    run = launch.submit(workspace, store, "evaluate", params, reuse=False).run
    moments: list[Callable[[], bool]] = [
        lambda: run.status().state is State.RUNNING,
        lambda: batches(run) >= 3,
        lambda: batches(run) >= 8,
        lambda: (run.artifacts / "generations.jsonl").exists(),
    ]
    killed = 0
    for moment in moments:
        until(lambda: moment() or not run.status().state.active, "the moment does not come")  # noqa: B023
        status = run.status()
        if status.state.active and status.identity:
            os.kill(status.identity.pid, signal.SIGKILL)
            until(lambda: not run.status().state.active, "it lives on")
            killed += 1
            launch.resume(workspace, run)
    assert killed >= 3
    assert written(run) == undisturbed
    assert figures(run) == figures(whole)


@pytest.mark.parametrize("step", [3])
def test_kept_generations_cut_off_anywhere_are_whole_batches(tmp_path: Path, step: int) -> None:
    path = tmp_path / "generations.jsonl"
    made = [
        Generation(
            case=f"c{n}", text="한글\n", prompt_tokens=3, tokens=2, stopped=True, seconds=0.5
        )
        for n in range(6)
    ]
    kept = KeptGenerations(path)
    for begin in (0, 2, 4):
        kept.add("base", "cpu", made[begin : begin + 2])
    whole = path.read_bytes()
    ends = [at + 1 for at, byte in enumerate(whole) if byte == ord("\n")]
    for cut in range(0, len(whole) + 1, step):
        path.write_bytes(whole[:cut])
        again = KeptGenerations(path)
        # the line break itself may be what is missing: the batch is there, and stays
        complete = sum(end - 1 <= cut for end in ends)
        assert list(again.of("base")) == [f"c{n}" for n in range(2 * complete)]
        again.add("base", "cpu", made[4:])
        assert KeptGenerations(path).of("base") == again.of("base")
