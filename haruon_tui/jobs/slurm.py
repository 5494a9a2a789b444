"""A run's child as a job on a Slurm cluster: submitted through submitit, alive as long as the
scheduler says so.

The job works in the run's own folder, which the nodes see under the same path, and writes the
run's own log. Only what it cannot write there itself is noted from here: that it was cancelled
before it started, that the queue never started it, that its node died.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from haruon_tui.errors import ConfigurationError, StageError
from haruon_tui.jobs.events import ENDS, EventWriter, tail

if TYPE_CHECKING:
    from haruon_tui.settings import SlurmSettings
    from haruon_tui.stage import Stage

JOB = "HARUON_SLURM_JOB"
"""The variable that tells a run's child of which Slurm job it is."""
STOP_FILE = ".stop"
"""In the run's folder: asks its child to stop. It may hold words for the log. A signal would
reach every process of the job at once, also those that the child has to end in order."""

_LOCAL = "HARUON_SUBMITIT"
"""Set to `local`, submitit starts the job on this machine: for tests where there is no Slurm."""
_LOOK_SECONDS = 3.0
_SILENT_SECONDS = 30.0
"""Between two looks at a scheduler that does not answer."""
_ANSWER_SECONDS = 10.0
_UNKNOWN = "UNKNOWN"
_OVER = frozenset(
    {"BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY"}
    | {"PREEMPTED", "REVOKED", "TIMEOUT", _UNKNOWN}
)
"""squeue's states of a job that is over (squeue(1), JOB STATE CODES)."""


@dataclass(frozen=True)
class Seen:
    """What the scheduler says of a job. `alive` is None where it does not answer, and `reason`
    is then why; else `reason` is the scheduler's own, for a job that waits."""

    job: str
    state: str
    reason: str
    node: str
    alive: bool | None

    @property
    def words(self) -> str:
        """Of a job that has not written anything yet."""
        if self.alive is None:
            return f"Slurm job {self.job}: Slurm does not answer ({self.reason})"
        if self.state == "PENDING":
            why = "" if self.reason == "None" else f": {self.reason}"
            return f"queued on Slurm (job {self.job}, {self.state}{why})"
        return f"Slurm job {self.job} is {self.state} on {self.node or 'no node'}"


_lock = threading.Lock()
_seen: dict[str, tuple[float, Seen]] = {}


def require(wanted: SlurmSettings, processes: int) -> None:
    """Raise ConfigurationError unless jobs of `processes` processes can be submitted from here."""
    if importlib.util.find_spec("submitit") is None:
        raise ConfigurationError(
            "submitit is not installed, which submits to Slurm",
            where="slurm.stages",
            do="pip install 'haruon-tui[slurm]', or stages = [] under [slurm]",
        )
    if not is_local() and not shutil.which("sbatch"):
        raise ConfigurationError(
            f"there is no sbatch on {os.uname().nodename}, so nothing can be submitted to Slurm",
            where="slurm.stages",
            expected="a login node of the cluster",
            do="run haruon there, in a folder that its nodes see too; or stages = [] under "
            "[slurm] works here",
        )
    if 0 < wanted.gpus < processes:
        raise ConfigurationError(
            f"{processes} processes need a GPU each, and {wanted.gpus} would be asked for",
            where="slurm.gpus",
            expected=f"at least {processes}, or 0 for the CPU",
            do=f"gpus = {processes} under [slurm]",
        )


def submit(
    folder: Path,
    stage: Stage,
    command: Sequence[str],
    attempt: int,
    processes: int,
    wanted: SlurmSettings,
) -> str:
    """Submit `command`, the child of the run in `folder`, and return the job's number: that of a
    process where submitit starts it on this machine.

    Raises ConfigurationError with Slurm's own words.
    """
    import submitit
    from submitit.core.utils import FailedJobError

    from haruon_tui.jobs.slurm_task import run_child

    logs = folder / "slurm"
    minutes = max(1, round(wanted.hours * 60))
    executor: Any
    if is_local():
        executor = submitit.LocalExecutor(logs)
        executor.update_parameters(
            timeout_min=minutes, gpus_per_node=wanted.gpus, stderr_to_stdout=True
        )
    else:
        executor = submitit.SlurmExecutor(logs)
        executor.update_parameters(
            job_name=f"haruon-{stage.name}",
            time=minutes,
            nodes=1,
            ntasks_per_node=1,
            cpus_per_task=wanted.cpus,
            srun_args=[f"--cpus-per-task={wanted.cpus}"],  # srun takes it from no variable
            stderr_to_stdout=True,
            setup=["export PYTHONSAFEPATH=1"],  # a file in the folder must not shadow a library
            additional_parameters={
                **({"partition": wanted.partition} if wanted.partition else {}),
                **({"gpus-per-node": wanted.gpus} if wanted.gpus else {}),
                **({"mem": wanted.memory} if wanted.memory else {}),
                "no-requeue": True,  # an attempt runs once; a resumed run is another
                **dict(_option(text) for text in wanted.options),
            },
        )
    try:
        with contextlib.redirect_stderr(io.StringIO()):  # where it prints what it raises
            job = executor.submit(
                run_child, list(command), folder, attempt, stage.device, processes, wanted.gpus
            )
    except FailedJobError as error:
        raise ConfigurationError(
            f"Slurm refused the job: {str(error).strip().splitlines()[-1]}",
            where="[slurm] in haruon.toml",
            do="sinfo names the partitions; change [slurm] and start it again",
        ) from error
    return str(job.job_id)


def look(job: str) -> Seen:
    """What the scheduler said of a job when it was last asked; after some seconds it is asked
    again, in the background. The first time takes as long as its answer: never call it on the
    event loop."""
    with _lock:
        until, known = _seen.get(job, (0.0, None))
        if known is not None:
            if time.monotonic() > until:
                _seen[job] = (time.monotonic() + _ANSWER_SECONDS, known)
                threading.Thread(target=_look_again, args=(job,), daemon=True).start()
            return known
    return _look_again(job)


def _look_again(job: str) -> Seen:
    found = _ask(job)
    with _lock:
        wait = _SILENT_SECONDS if found.alive is None else _LOOK_SECONDS
        _seen[job] = (time.monotonic() + wait, found)
    return found


def cancel(job: str, *, waiting: bool = False) -> None:
    """End a job, or only one that still waits. Slurm asks its processes first and kills them
    after a while (KillWait)."""
    _run("scancel", *(["--state=PENDING"] if waiting else []), job)
    with _lock:
        _seen.pop(job, None)


def note_end(log: Path, attempt: int, job: str, start_by: float) -> Seen:
    """Look at a job, and write into its run's log what it could not write itself: how it ended,
    or that it waited until `start_by` (Unix seconds) and is cancelled now."""
    seen = look(job)
    run = log.parent.name
    if seen.state == "PENDING" and 0 < start_by < time.time():
        cancel(job, waiting=True)
        now = look(job)
        if now.state == "CANCELLED":
            _write(log, attempt, _never_started(seen, run))
        return now
    if seen.alive is False:
        _write(log, attempt, _end(seen, run, log))
    return seen


def _never_started(seen: Seen, run: str) -> StageError:
    return StageError(
        f"Slurm did not start job {seen.job} in time; it still waits for: {seen.reason}. "
        "The job is cancelled",
        where="slurm.wait_minutes",
        do=f"ask for less under [slurm], name another partition (sinfo), or wait longer; then "
        f"haruon jobs resume {run}",
    )


def _end(seen: Seen, run: str, log: Path) -> StageError | str:
    """What to say of a job that is over: an error, or a line where it was stopped."""
    again = f"haruon jobs resume {run} submits it again, from the last checkpoint"
    where = f"Slurm job {seen.job}" + (f" on {seen.node}" if seen.node else "")
    if seen.state in ("CANCELLED", "PREEMPTED"):
        return f"{where} was {seen.state.lower()}"
    do = {
        "TIMEOUT": f"raise slurm.hours if it takes too many attempts; {again}",
        "OUT_OF_MEMORY": f"raise slurm.memory, or lower train.batch_size; {again}",
    }.get(seen.state, again)
    said = _last_line(log.parent / "slurm", seen.job)
    if seen.state == _UNKNOWN:
        what = f"Slurm no longer knows job {seen.job}, and it left no end in the log"
    elif seen.state in ("FAILED", "COMPLETED") and said:
        what = f"{where} ended without a word in the log ({seen.state}): {said}"
    else:
        what = f"{where} ended: {seen.state}"
    return StageError(what, where=f"slurm/ in {log.parent}", do=do)


def _write(log: Path, attempt: int, end: StageError | str) -> None:
    try:
        writer = EventWriter(log, attempt=attempt)
    except OSError:
        return  # another program notes it now, or the folder is not ours
    try:
        recent = tail(log)
        if recent and recent[-1]["attempt"] >= attempt and recent[-1]["kind"] in ENDS:
            return
        if isinstance(end, str):
            writer.write("log", text=end, level="warning")
            writer.write("stopped")
        else:
            writer.write("failed", error=end.as_dict(), exit_code=end.exit_code)
    finally:
        writer.close()


def _ask(job: str) -> Seen:
    code, said, problem = _run(
        "squeue", "--noheader", "--states=all", f"--jobs={job}", "--format=%T|%r|%N"
    )
    if code != 0 and "Invalid job id" not in problem:
        return Seen(job, "", problem, "", None)
    if not said:  # it has been over for minutes; only the accounts know more, if they are kept
        _, said, _ = _run(
            "sacct", "-X", "-n", "-P", f"--jobs={job}", "--format=State,Reason,NodeList"
        )
    first = said.splitlines()[0] if said else f"{_UNKNOWN}||"
    state, reason, node = first.split("|")
    state = state.split(" ")[0]  # "CANCELLED by 1000"
    return Seen(job, state, reason, node, state not in _OVER)


def _run(*command: str) -> tuple[int, str, str]:
    """Exit code, stdout, and the last line of stderr."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_ANSWER_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return -1, "", f"{command[0]}: {getattr(error, 'strerror', None) or 'no answer'}"
    lines = done.stderr.strip().splitlines()
    return done.returncode, done.stdout.strip(), lines[-1] if lines else ""


def _last_line(logs: Path, job: str) -> str:
    try:
        said = (logs / f"{job}_0_log.out").read_bytes()[-4096:].decode("utf-8", "replace")
    except OSError:
        return ""
    return (said.strip().splitlines() or [""])[-1][:300]


def _option(text: str) -> tuple[str, str | bool]:
    """`--account=lab` as ("account", "lab")."""
    name, equals, value = text.removeprefix("--").partition("=")
    return name, value if equals else True


def is_local() -> bool:
    """Whether submitit starts jobs on this machine, without Slurm."""
    return os.environ.get(_LOCAL) == "local"
