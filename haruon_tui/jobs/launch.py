"""Starting, stopping and resuming the detached child process of a run."""

from __future__ import annotations

import fcntl
import importlib.metadata
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Literal

import psutil

from haruon_tui import __version__
from haruon_tui.artifacts import write_text
from haruon_tui.errors import ConfigurationError
from haruon_tui.jobs import slurm, tickets
from haruon_tui.jobs.devices import devices_for
from haruon_tui.jobs.events import EventWriter, tail
from haruon_tui.jobs.fingerprint import fingerprint
from haruon_tui.jobs.liveness import Identity, boot_id, is_alive
from haruon_tui.jobs.store import PROCESS_FILE, Run, State, Store
from haruon_tui.stage import STAGES, Params
from haruon_tui.workspace import Workspace

How = Literal["new", "joined", "resumed", "reused"]

CHILD = (sys.executable, "-P", "-m", "haruon_tui.jobs.child")
"""The child's command. -P: a file in the workspace must not shadow a library."""

_RECORDED_VERSIONS = (
    "torch",
    "transformers",
    "trl",
    "peft",
    "datasets",
    "tokenizers",
    "llama-cpp-python",
    "gguf",
)
_POLL_SECONDS = 0.05
_CANCEL_SECONDS = 90.0
"""For a cancelled Slurm job to end; KillWait is 30 where nobody changed it."""

_children: list[subprocess.Popen[bytes]] = []
"""Children of this process; starting the next one reaps those that have ended."""


@dataclass(frozen=True)
class Submission:
    run: Run
    how: How


def submit(
    workspace: Workspace,
    store: Store,
    stage_name: str,
    params: Params,
    *,
    parent: str | None = None,
    reuse: bool = True,
    fresh: bool = False,
    start: bool = True,
) -> Submission:
    """Get this work done: reuse a finished run of the same work, join one that is under way,
    resume one that was interrupted, or start a new one.

    `reuse=False` runs finished work again. `fresh` starts a new run whatever there is, except
    that two of the same work never run at once. Without `start` the run is made ready, for a
    process that was started by hand. Raises ConfigurationError for inputs that are not there, for
    a workspace that cannot be written, and where Slurm is wanted and takes no job.
    """
    stage = STAGES[stage_name]
    on_slurm = start and stage_name in workspace.settings.slurm.stages
    workspace.require_writable()
    mark, inputs = fingerprint(stage, params, store.folder)
    with (store.folder / ".lock").open("w") as gate:
        fcntl.flock(gate, fcntl.LOCK_EX)
        same = [run for run in store.of_stage(stage_name) if run.job.fingerprint == mark]
        if active := next((run for run in same if run.status().state.active), None):
            return Submission(active, "joined")
        if reuse and not fresh and (finished := store.finished(mark)):
            return Submission(finished, "reused")
        newest = same[0] if same else None
        if newest and not fresh and newest.status().state is not State.FINISHED:
            devices = _devices(workspace, store, stage_name, params.accelerators, on_slurm)
            newest.place(devices, _waits(workspace), slurm=on_slurm)
            if start:
                _start(newest, workspace, params)
            return Submission(newest, "resumed")
        run = store.create(
            {
                "stage": stage_name,
                "params": params.model_dump(mode="json"),
                "inputs": inputs,
                "fingerprint": mark,
                "devices": _devices(workspace, store, stage_name, params.accelerators, on_slurm),
                "slurm": on_slurm,
                "by_hand": not start,
                "wait_for_memory": _waits(workspace),
                "parent": parent,
                "versions": _versions(),
                "hardware": _hardware(),
            }
        )
        if start:
            try:
                _start(run, workspace, params)
            except ConfigurationError:
                shutil.rmtree(run.folder)
                raise
        return Submission(run, "new")


def resume(workspace: Workspace, run: Run) -> None:
    """Start a stopped, failed or crashed run again, from its last checkpoint, on the device that
    suits now; on Slurm where it was.

    Raises ConfigurationError when it runs or has finished.
    """
    workspace.require_writable()
    with (run.folder.parent / ".lock").open("w") as gate:
        fcntl.flock(gate, fcntl.LOCK_EX)
        state = run.status().state
        if state.active or state is State.FINISHED:
            raise ConfigurationError(
                f"{run.id} is {state}; only a stopped, failed or crashed run can go on",
                do=f"haruon jobs show {run.id}",
            )
        store = Store(run.folder.parent)
        params = STAGES[run.stage].load().params.model_validate(run.job.params)
        on_slurm = run.job.slurm
        devices = _devices(workspace, store, run.stage, params.accelerators, on_slurm)
        run.place(devices, _waits(workspace), slurm=on_slurm)
        _start(run, workspace, params)


def request_stop(run: Run) -> bool:
    """Ask a run to stop at its next checkpoint. False when it is not active.

    Raises ConfigurationError when it lives on another host.
    """
    status = run.status()
    if not status.state.active:
        return False
    if status.identity is None:
        deadline = time.monotonic() + 5.0  # its child has not yet said who it is
        while status.identity is None and status.state.active and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
            status = run.status()
        if status.identity is None:
            return status.state.active
    if run.job.slurm:
        write_text(run.folder / slurm.STOP_FILE, "")
        if status.waits_for:
            slurm.cancel(status.identity.slurm_job, waiting=True)
        return True
    if is_alive(status.identity) is None:
        raise ConfigurationError(
            f"{run.id} runs on {status.identity.host}",
            do=f"haruon jobs stop {run.id}, on that host",
        )
    try:
        os.kill(status.identity.pid, signal.SIGTERM)
    except ProcessLookupError:
        return False
    return True


def stop(run: Run, grace_seconds: float) -> State:
    """Ask a run to stop, end it after the grace time, and return the state it came to."""
    if not request_stop(run):
        return run.status().state
    deadline = time.monotonic() + grace_seconds
    while time.monotonic() < deadline:
        if not run.status().state.active:
            return run.status().state
        time.sleep(_POLL_SECONDS)
    kill(run)
    return run.status().state


def kill(run: Run) -> None:
    """End an active run's processes at once and note it in the log."""
    status = run.status()
    if status.state.active and status.identity and status.identity.slurm_job:
        slurm.cancel(status.identity.slurm_job)
        deadline = time.monotonic() + _CANCEL_SECONDS
        while is_alive(status.identity) and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        run.status()  # which notes in the log how it ended
    elif status.state.active and status.identity and is_alive(status.identity):
        os.killpg(status.identity.pid, signal.SIGKILL)
        while is_alive(status.identity):
            time.sleep(_POLL_SECONDS)
        writer = EventWriter(run.log, attempt=status.attempt)
        writer.write("stopped", killed=True)
        writer.close()


def _devices(
    workspace: Workspace, store: Store, stage_name: str, count: int, on_slurm: bool
) -> tuple[str, ...]:
    """Where a job of this stage goes now, on `count` accelerators where it needs one; on Slurm
    its node says. A job whose child has not drawn its ticket yet counts as queued too."""
    if on_slurm:
        slurm.require(workspace.settings.slurm, count)
        return ()
    device = STAGES[stage_name].device
    if device != "accelerator":
        return devices_for(device, workspace.settings.hardware, {})
    queues = {name: set(jobs) for name, jobs in tickets.queues().items()}
    for run in store.all():
        if not run.job.slurm and run.status().state.active:
            for name in run.job.devices:
                queues.setdefault(name, set()).add(run.id)
    return devices_for(device, workspace.settings.hardware, queues, count)


def _waits(workspace: Workspace) -> bool:
    return workspace.settings.hardware.wait_for_memory


def _start(run: Run, workspace: Workspace, params: Params) -> None:
    """Start the child here or on Slurm. Raises ConfigurationError where Slurm refuses it."""
    recent = tail(run.log)
    attempt = (recent[-1]["attempt"] if recent else 0) + 1
    (run.folder / slurm.STOP_FILE).unlink(missing_ok=True)
    if run.job.slurm:
        _submit(run, workspace, attempt, params.accelerators)
    else:
        _spawn(run, workspace, attempt)


def _submit(run: Run, workspace: Workspace, attempt: int, processes: int) -> None:
    """Submit the child and note its job's number."""
    wanted = workspace.settings.slurm
    command = [*CHILD, str(run.folder), str(attempt)]
    job = slurm.submit(run.folder, STAGES[run.stage], command, attempt, processes, wanted)
    now = time.time()
    if slurm.is_local():
        identity = Identity.of(int(job), attempt)
    else:
        identity = Identity(
            host=os.uname().nodename,
            boot_id=boot_id(),
            pid=0,
            started=now,
            attempt=attempt,
            slurm_job=job,
            start_by=now + wanted.wait_minutes * 60 if wanted.wait_minutes else 0.0,
        )
    write_text(run.folder / PROCESS_FILE, identity.model_dump_json())


def _spawn(run: Run, workspace: Workspace, attempt: int) -> None:
    """Start the child in a session of its own and note who it is."""
    (run.folder / PROCESS_FILE).unlink(missing_ok=True)
    with run.output.open("ab") as output:
        child = subprocess.Popen(
            [*CHILD, str(run.folder), str(attempt)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=workspace.folder,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
            start_new_session=True,
        )
    _children[:] = [known for known in _children if known.poll() is None]
    _children.append(child)
    write_text(run.folder / PROCESS_FILE, Identity.of(child.pid, attempt).model_dump_json())


def _versions() -> dict[str, str]:
    found = {"haruon-tui": __version__, "python": platform.python_version()}
    for name in _RECORDED_VERSIONS:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _hardware() -> dict[str, str | int]:
    return {
        "machine": platform.machine(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count() or 1,
        "memory_bytes": psutil.virtual_memory().total,
    }
