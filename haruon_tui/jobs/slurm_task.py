"""What a Slurm job runs on its node: the child of a run, kept from the scheduler's signals."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from haruon_tui.artifacts import write_text
from haruon_tui.errors import HaruonError, StageError
from haruon_tui.jobs.devices import devices_for
from haruon_tui.jobs.events import EventWriter
from haruon_tui.jobs.slurm import JOB, STOP_FILE
from haruon_tui.jobs.store import Run
from haruon_tui.settings import HardwareSettings
from haruon_tui.stage import Device


def run_child(
    command: Sequence[str], folder: Path, attempt: int, device: Device, processes: int, gpus: int
) -> int:
    """Run `command`, the child of the run in `folder`, and return its exit code. The work is for
    `processes` on the `device`, of `gpus` that were asked for.

    Slurm signals all processes of a job at once: with SIGTERM when it cancels or preempts it,
    with SIGUSR2 before its time is over. Here either is a request to stop at a checkpoint.
    """
    run, job = Run(folder), os.environ.get("SLURM_JOB_ID", "")
    for number in (signal.SIGTERM, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)  # for the child and its ranks
    try:
        given = HardwareSettings(gpus="auto" if gpus else [])
        devices = devices_for(device, given, {}, processes)
        run.place(devices, run.job.wait_for_memory, slurm=True)
    except HaruonError as error:
        _say(run, attempt, error)
        return error.exit_code
    with run.output.open("ab") as output:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=folder.parent.parent,
            env=os.environ | {JOB: job, "PYTHONUNBUFFERED": "1"},
            start_new_session=not job,  # with no scheduler to end its processes together
        )
    said = {
        signal.SIGTERM: f"Slurm ends job {job} (cancelled or preempted)",
        signal.SIGUSR2: f"the time of Slurm job {job} is nearly over (slurm.hours)",
    }
    for number, words in said.items():
        signal.signal(number, lambda *_, words=words: _ask_to_stop(folder, words))
    code = child.wait()
    if code < 0:
        killed = StageError(
            f"its process on {os.uname().nodename} was ended by signal {-code}",
            where=f"output.log in {folder}",
            expected="that it ends by itself; the system sends 9 when memory runs out",
            do=f"haruon jobs resume {run.id} submits it again, from the last checkpoint",
        )
        _say(run, attempt, killed)
    return code


def _say(run: Run, attempt: int, error: HaruonError) -> None:
    writer = EventWriter(run.log, attempt=attempt)
    writer.write("failed", error=error.as_dict(), exit_code=error.exit_code)
    writer.close()


def _ask_to_stop(folder: Path, words: str) -> None:
    write_text(folder / STOP_FILE, f"{words}: stopping at a checkpoint")
