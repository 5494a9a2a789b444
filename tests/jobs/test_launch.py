"""Jobs outlive what started them, and their work is neither lost nor done twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from haruon_tui.errors import ConfigurationError
from haruon_tui.jobs import launch
from haruon_tui.jobs.curve import Curves
from haruon_tui.jobs.events import EventReader
from haruon_tui.jobs.store import State


def test_a_finished_job_has_its_result_artefact_and_manifest(submit, ended):
    run = submit(steps=3).run
    status = ended(run)
    assert status.state is State.FINISHED
    assert status.result == {"summary": "counted to 3", "total": 3}
    manifest = json.loads((run.artifacts / "manifest.json").read_text())
    assert manifest["artifacts"]["count.txt"]["bytes"] == 1
    assert manifest["fingerprint"] == run.job.fingerprint


def test_identical_finished_work_is_reused(submit, ended):
    first = submit(steps=2)
    ended(first.run)
    second = submit(steps=2)
    assert (second.how, second.run.id) == ("reused", first.run.id)
    assert submit(steps=4).how == "new"


def test_finished_work_whose_artefact_is_gone_is_done_again(submit, ended):
    first = submit(steps=2)
    ended(first.run)
    (first.run.artifacts / "count.txt").unlink()
    assert submit(steps=2).how == "new"


def test_identical_work_under_way_is_joined(submit):
    first = submit(steps=200, seconds=0.05)
    second = submit(steps=200, seconds=0.05)
    assert (second.how, second.run.id) == ("joined", first.run.id)


def test_changed_input_content_is_other_work(submit, ended, tmp_path):
    source = tmp_path / "입력.txt"
    source.write_text("하나")
    ended(submit(source=source).run)
    assert submit(source=source).how == "reused"
    source.write_text("하나둘")
    assert submit(source=source).how == "new"


def test_a_job_lives_on_when_its_starter_is_killed(workspace, store, counting, until, ended):
    code = (
        "import sys; sys.argv=['x']; from pathlib import Path; import runpy;"
        f"m=runpy.run_path({launch.CHILD[2]!r}, run_name='counting');"
        "import sys, types; mod=types.ModuleType('counting'); mod.__dict__.update(m);"
        "sys.modules['counting']=mod;"
        "from haruon_tui.jobs import launch; from haruon_tui.jobs.store import Store;"
        "from haruon_tui.workspace import Workspace;"
        f"launch.CHILD={tuple(launch.CHILD)!r}; w=Workspace(Path({str(workspace.folder)!r}));"
        "launch.submit(w, Store(w.runs), 'count', m['Params'](steps=20, seconds=0.05));"
        "import time; time.sleep(60)"
    )
    starter = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    until(lambda: any(run.status().state is State.RUNNING for run in store.all()))
    os.killpg(starter.pid, signal.SIGKILL)
    starter.wait()
    [run] = store.all()
    assert ended(run).state is State.FINISHED
    curves = Curves()
    curves.feed(EventReader(run.log).read())
    assert curves.series("value")[0] == list(range(1, 21))


def test_a_killed_child_is_shown_as_crashed_with_its_last_lines_and_can_go_on(
    workspace, submit, ended
):
    run = submit(steps=6, crash_at=4).run
    assert ended(run).state is State.CRASHED
    assert run.last_lines() == ["about to die"]
    launch.resume(workspace, run)
    assert run.status().state.active
    status = ended(run)
    assert status.state is State.FINISHED
    assert status.attempt == 2
    steps = [e["step"] for e in EventReader(run.log).read() if e["kind"] == "metric"]
    assert steps == [1, 2, 3, 4, 4, 5, 6]
    curves = Curves()
    curves.feed(EventReader(run.log).read())
    assert curves.series("value")[0] == [1, 2, 3, 4, 5, 6]


def test_stop_keeps_the_checkpoint_and_resume_reaches_the_same_end(
    workspace, submit, until, ended
):
    run = submit(steps=40, seconds=0.05).run
    until(lambda: (p := run.status().progress) is not None and p.done >= 3)
    assert launch.stop(run, grace_seconds=10) is State.STOPPED
    launch.resume(workspace, run)
    assert ended(run).result == {"summary": "counted to 40", "total": 40}


def test_submitting_interrupted_work_resumes_it(submit, ended):
    run = submit(steps=6, crash_at=2).run
    ended(run)
    again = submit(steps=6, crash_at=2)
    assert (again.how, again.run.id) == ("resumed", run.id)
    assert ended(run).state is State.FINISHED


def test_a_child_that_ignores_the_request_is_ended_after_the_grace_time(submit, until):
    run = submit(steps=400, seconds=0.05, ignore_stop=True).run
    until(lambda: run.status().progress is not None)
    started = time.monotonic()
    assert launch.stop(run, grace_seconds=0.5) is State.STOPPED
    assert time.monotonic() - started < 5


def test_a_failed_job_tells_the_four_parts_of_its_error(submit, ended):
    status = ended(submit(fail=True).run)
    assert status.state is State.FAILED
    assert status.error == {
        "what": "the count is off",
        "where": "here",
        "expected": "a number",
        "do": "count again",
    }


def test_a_running_or_finished_job_cannot_be_resumed_or_removed_while_active(
    workspace, store, submit, ended
):
    run = submit(steps=100, seconds=0.05).run
    with pytest.raises(ConfigurationError, match=r"is (queued|running)"):
        launch.resume(workspace, run)
    with pytest.raises(ConfigurationError, match="still"):
        store.remove(run)
    launch.stop(run, 10)
    store.remove(run)
    assert store.all() == []


def test_jobs_for_one_device_run_one_after_another_in_order(submit, until, ended):
    first = submit(steps=10, seconds=0.05).run
    until(lambda: first.status().state is State.RUNNING)
    second = submit(steps=1).run
    until(lambda: second.status().last is not None)
    assert second.status().state is State.QUEUED
    third = submit(steps=2).run
    ended(first)
    ended(third)
    ended(second)
    times = {
        run.id: {e["kind"]: e["t"] for e in EventReader(run.log).read()}
        for run in (first, second, third)
    }
    assert times[first.id]["finished"] <= times[second.id]["running"]
    assert times[second.id]["finished"] <= times[third.id]["running"]


def test_a_crashed_holder_does_not_block_the_queue(submit, until, ended):
    first = submit(steps=500, seconds=0.05).run
    until(lambda: first.status().state is State.RUNNING)
    second = submit(steps=1).run
    until(lambda: second.status().last is not None)
    os.kill(first.status().identity.pid, signal.SIGKILL)
    assert ended(second).state is State.FINISHED
    assert first.status().state is State.CRASHED


def test_a_queued_job_can_be_stopped(submit, until):
    first = submit(steps=500, seconds=0.05).run
    until(lambda: first.status().state is State.RUNNING)
    second = submit(steps=1).run
    until(lambda: second.status().last is not None)
    assert launch.stop(second, 10) is State.STOPPED
    assert first.status().state is State.RUNNING


def test_the_hook_runs_with_the_jobs_name_stage_and_state(workspace, submit, until):
    workspace.file.write_text(
        'profile = "tiny"\n[jobs]\n'
        'on_end = "echo $HARUON_STAGE $HARUON_STATE $HARUON_JOB > ended.txt"\n'
    )
    run = submit(steps=1).run
    until((workspace.folder / "ended.txt").exists)
    until(lambda: (workspace.folder / "ended.txt").read_text() == f"count finished {run.id}\n")
