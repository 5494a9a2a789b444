"""Jobs on Slurm: the same log, stop and resume, and one clear message for what a queue can do.

Against a cluster of this one machine, started by scripts/one_node_slurm.sh; where slurm-wlm is not
installed, or not as root, against submitit's local executor, which has no queue. The names of the
tests say which it was.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from haruon_tui.errors import ConfigurationError
from haruon_tui.jobs import launch, slurm
from haruon_tui.jobs.events import EventReader
from haruon_tui.jobs.liveness import Identity
from haruon_tui.jobs.store import PROCESS_FILE, Run, State, Store
from haruon_tui.workspace import Workspace

_SCRIPT = Path(__file__).parents[2] / "scripts" / "one_node_slurm.sh"
_NEEDED = ("munged", "slurmctld", "slurmd", "sbatch", "setpriv")
_HERE = "slurm" if os.geteuid() == 0 and all(map(shutil.which, _NEEDED)) else "local-executor"

needs_a_queue = pytest.mark.skipif(
    _HERE != "slurm", reason="no Slurm here: apt-get install slurm-wlm munge, and be root"
)


@pytest.fixture(scope="module", params=[_HERE])
def cluster(request: pytest.FixtureRequest) -> Iterator[None]:
    """Slurm on this machine, or submitit without it."""
    with pytest.MonkeyPatch.context() as environment:
        if request.param != "slurm":
            environment.setenv("HARUON_SUBMITIT", "local")
            yield
            return
        folder = tempfile.mkdtemp(prefix="haruon-slurm-", dir="/tmp")  # a socket's path is short
        environment.setenv("SLURM_CONF", f"{folder}/slurm.conf")
        environment.setenv("HARUON_SLURM_PORT", str(_two_free_ports()))
        subprocess.run([_SCRIPT, "start", folder], check=True, capture_output=True)
        yield
        subprocess.run([_SCRIPT, "stop", folder], check=True, capture_output=True)
        shutil.rmtree(folder, ignore_errors=True)  # daemons take their sockets with them


@pytest.fixture
def wanted(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """wanted(options=…) sets keys of [slurm], for counting jobs on the CPU."""
    monkeypatch.setattr(slurm, "_LOOK_SECONDS", 0.1)

    settings = workspace.settings

    def want(**keys: object) -> None:
        keys = {"stages": ["count"], "gpus": 0, "cpus": 1, "memory": "100M", **keys}
        workspace._settings = settings.model_copy(
            update={"slurm": settings.slurm.model_copy(update=keys)}
        )

    want()
    return want


def said(run: Run) -> list[str]:
    return [e["text"] for e in EventReader(run.log).read() if e["kind"] == "log"]


def steps(run: Run, attempt: int) -> list[int]:
    events = EventReader(run.log, attempt=attempt).read()
    return [e["step"] for e in events if e["kind"] == "metric"]


def require_nothing_left(run: Run) -> None:
    """No process of the run, and no job in the queue."""

    def left() -> list[str]:
        found = [" ".join(one.info["cmdline"] or []) for one in psutil.process_iter(["cmdline"])]
        return [line for line in found if str(run.folder) in line]

    deadline = time.monotonic() + 10
    while (lines := left()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not lines
    if _HERE == "slurm":
        queue = ["squeue", "--noheader", "--states=PENDING,RUNNING,SUSPENDED"]
        assert not subprocess.run(queue, capture_output=True, text=True, check=True).stdout


@pytest.mark.usefixtures("cluster", "wanted")
def test_a_job_on_the_cluster_writes_the_runs_own_log(submit, ended) -> None:
    run = submit(steps=3).run
    assert ended(run).state is State.FINISHED, run.status().error
    assert run.status().result["total"] == 3
    assert steps(run, 1) == [1, 2, 3]
    assert run.job.slurm
    assert submit(steps=3).how == "reused"
    require_nothing_left(run)


@pytest.mark.usefixtures("cluster", "wanted")
def test_a_stop_leaves_a_checkpoint_and_resume_submits_again_from_there(
    workspace, submit, ended, until
) -> None:
    run = submit(steps=60, seconds=0.05).run
    until(lambda: (p := run.status().progress) is not None and p.done >= 3)
    assert launch.stop(run, grace_seconds=20) is State.STOPPED
    done = steps(run, 1)[-1]
    launch.resume(workspace, run)
    assert run.status().state.active
    assert ended(run).state is State.FINISHED, run.status().error
    assert steps(run, 2) == list(range(done + 1, 61))
    require_nothing_left(run)


@pytest.mark.usefixtures("cluster", "wanted")
def test_a_killed_child_is_named_and_its_run_goes_on(workspace, submit, ended, until) -> None:
    run = submit(steps=3, seconds=0.05, crash_at=2).run
    status = ended(run)
    assert status.state is State.FAILED
    assert "was ended by signal 9" in status.error["what"]
    assert run.id in status.error["do"]
    launch.resume(workspace, run)
    assert ended(run).state is State.FINISHED, run.status().error


@needs_a_queue
@pytest.mark.usefixtures("cluster", "wanted")
def test_a_job_cancelled_from_outside_says_so_once_and_stops_at_a_checkpoint(
    submit, ended, until
) -> None:
    run = submit(steps=2000, seconds=0.05).run
    until(lambda: (p := run.status().progress) is not None and p.done >= 3)
    subprocess.run(["scancel", run.status().identity.slurm_job], check=True)
    assert ended(run).state is State.STOPPED
    assert [line for line in said(run) if "Slurm ends job" in line] == said(run)
    assert len(said(run)) == 1
    require_nothing_left(run)


@needs_a_queue
@pytest.mark.usefixtures("cluster")
def test_a_job_waits_with_the_schedulers_reason_and_is_stopped_if_cancelled(
    workspace, submit, wanted, ended, until
) -> None:
    wanted(options=["--hold"])
    run = submit(steps=3).run
    until(lambda: "PENDING: JobHeldUser" in run.status().waits_for)
    assert run.status().state is State.QUEUED
    job = run.status().identity.slurm_job
    subprocess.run(["scancel", job], check=True)
    assert ended(run).state is State.STOPPED
    assert said(run) == [f"Slurm job {job} was cancelled"]
    launch.resume(workspace, run)
    until(lambda: run.status().waits_for)
    assert launch.stop(run, grace_seconds=10) is State.STOPPED
    require_nothing_left(run)


@needs_a_queue
@pytest.mark.usefixtures("cluster")
def test_a_queue_that_never_starts_a_job_ends_it_with_the_reason(
    workspace, submit, wanted, ended
) -> None:
    wanted(options=["--hold"], wait_minutes=0.005)
    run = submit(steps=3).run
    status = ended(run)
    assert status.state is State.FAILED
    assert "still waits for: JobHeldUser" in status.error["what"]
    assert status.error["where"] == "slurm.wait_minutes"
    require_nothing_left(run)
    wanted()
    launch.resume(workspace, run)
    assert ended(run).state is State.FINISHED, run.status().error


@needs_a_queue
@pytest.mark.usefixtures("cluster")
def test_a_refused_job_is_said_in_slurms_words_and_leaves_no_run(store, submit, wanted) -> None:
    wanted(partition="nowhere")
    with pytest.raises(ConfigurationError, match="Invalid partition name specified"):
        submit(steps=3)
    assert store.all() == []


@needs_a_queue
@pytest.mark.usefixtures("cluster", "wanted")
def test_a_node_that_dies_is_named_and_the_run_goes_on(workspace, submit, ended, until) -> None:
    run = submit(steps=40, seconds=0.05).run
    until(lambda: (p := run.status().progress) is not None and p.done >= 3)
    _cut_power(run.status().identity.slurm_job)
    node = f"nodename={socket.gethostname()}"
    subprocess.run(["scontrol", "update", node, "state=down", "reason=test"], check=True)
    status = ended(run)
    until(lambda: _is_idle(node))
    assert status.state is State.FAILED
    assert "NODE_FAIL" in status.error["what"]
    launch.resume(workspace, run)
    assert ended(run).state is State.FINISHED, run.status().error


@pytest.mark.usefixtures("wanted")
def test_without_sbatch_nothing_starts_and_the_login_node_is_named(
    monkeypatch, store, submit
) -> None:
    monkeypatch.delenv("HARUON_SUBMITIT", raising=False)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ConfigurationError, match="there is no sbatch") as error:
        submit(steps=3)
    assert "login node" in str(error.value)
    assert store.all() == []


def test_a_scheduler_that_does_not_answer_ends_no_run(monkeypatch, store: Store, counting) -> None:
    run = store.create(
        {"stage": "count", "params": {}, "inputs": {}, "fingerprint": "f", "slurm": True}
    )
    identity = Identity(
        host="login", boot_id="", pid=0, started=time.time(), attempt=1, slurm_job="4000000001"
    )
    (run.folder / PROCESS_FILE).write_text(identity.model_dump_json())
    monkeypatch.setenv("PATH", "/nowhere")
    status = run.status()
    assert status.state is State.QUEUED
    assert "Slurm does not answer (squeue: No such file" in status.waits_for


def _cut_power(job: str) -> None:
    """End all processes of a job at once, those of Slurm's among them, with no word."""
    for one in psutil.process_iter(["cmdline"]):
        if f"slurmstepd: [{job}." in " ".join(one.info["cmdline"] or []):
            for process in [one, *one.children(recursive=True)]:
                process.kill()


def _is_idle(node: str) -> bool:
    """Whether the node takes jobs again."""
    subprocess.run(["scontrol", "update", node, "state=resume"], capture_output=True, check=False)
    sinfo = ["sinfo", "--noheader", "--format=%T"]
    return subprocess.run(sinfo, capture_output=True, text=True, check=True).stdout == "idle\n"


def _two_free_ports() -> int:
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = int(first.getsockname()[1])
            try:
                second.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port
