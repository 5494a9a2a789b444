"""The child process of a run: `python -m haruon_tui.jobs.child RUN_FOLDER ATTEMPT`."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path

from haruon_tui.artifacts import remove, write_text
from haruon_tui.errors import Exit, HaruonError, StageError, Stopped
from haruon_tui.jobs import events
from haruon_tui.jobs.context import JobContext
from haruon_tui.jobs.devices import see_only
from haruon_tui.jobs.liveness import Identity
from haruon_tui.jobs.samples import Sampler
from haruon_tui.jobs.slurm import JOB, STOP_FILE
from haruon_tui.jobs.store import PROCESS_FILE, JobFile, Run
from haruon_tui.jobs.tickets import ticket
from haruon_tui.settings import load_settings
from haruon_tui.stage import STAGES, Result
from haruon_tui.workspace import FILE_NAME

_SAMPLE_SECONDS = 2.0
_RESERVE_BYTES = 1 << 16
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def main(folder: Path, attempt: int) -> int:
    """Run one attempt and return the exit code."""
    run = Run(folder)
    stop = threading.Event()
    if not run.job.slurm:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    identity = Identity.of(os.getpid(), attempt)
    identity = identity.model_copy(update={"slurm_job": os.environ.pop(JOB, "")})
    write_text(folder / PROCESS_FILE, identity.model_dump_json())
    writer = events.EventWriter(run.log, attempt=attempt)
    reserve = folder / ".reserve"
    _keep(reserve)
    sampler = threading.Thread(
        target=_report, args=(run, writer, stop, Sampler(tuple(run.job.devices))), daemon=True
    )
    sampler.start()
    state, fields, code = _attempt(
        run.job,
        JobContext(
            folder,
            writer,
            stop=stop,
            about=about(run),
            devices=run.job.devices,
            wait_for_memory=run.job.wait_for_memory,
        ),
    )
    reserve.unlink(missing_ok=True)  # on a full disk, this is the room for the last event
    writer.write(state, **fields)
    _call_hook(run, state)
    return code


def _attempt(job: JobFile, context: JobContext) -> tuple[str, dict[str, object], int]:
    writer = context.writer

    def work() -> Result:
        _remove_unfinished(context.artifacts)
        writer.write("queued", devices=job.devices)
        with ticket(
            () if job.slurm else tuple(job.devices),  # which Slurm has given to it alone
            job=job.id,
            stop_requested=context.stop.is_set,
            on_wait=lambda ahead: context.log(f"waits for {', '.join(ahead)}"),
        ):
            see_only(job.devices, STAGES[job.stage].device)
            writer.write("running", host=os.uname().nodename, pid=os.getpid())
            module = STAGES[job.stage].load()
            params = module.params.model_validate(job.params)
            return module.run(params, context)

    return outcome(work, context)


def outcome(work: Callable[[], Result], context: JobContext) -> tuple[str, dict[str, object], int]:
    """Do the work; the kind and the fields of the event that ends it, and the exit code. Never
    raises."""
    try:
        result = work()
        return "finished", {"result": result.model_dump(mode="json")}, Exit.OK
    except Stopped:
        return "stopped", {}, Exit.INTERRUPTED
    except HaruonError as error:
        return "failed", {"error": error.as_dict(), "exit_code": error.exit_code}, error.exit_code
    except Exception as error:  # noqa: BLE001 - whatever it is, the log must say it
        traceback.print_exc()
        if context.stop_requested and not _no_space(error):
            return "stopped", {}, Exit.INTERRUPTED
        spoken = _explain(error, context)
        return (
            "failed",
            {"error": spoken.as_dict(), "exit_code": spoken.exit_code},
            spoken.exit_code,
        )


def _explain(error: Exception, context: JobContext) -> StageError:
    if _no_space(error):
        return StageError(
            "the disk is full",
            where=str(getattr(error, "filename", None) or context.folder),
            expected="free space for this stage's files",
            do=f"free some space (haruon jobs prune), then haruon jobs resume {context.id}",
        )
    return StageError(
        f"{type(error).__name__}: {error}", do=f"haruon jobs logs {context.id} shows all of it"
    )


def _no_space(error: BaseException) -> bool:
    """Whether a full disk is behind an error; native writers say so only in their text."""
    if isinstance(error, OSError) and error.errno in _NO_SPACE:
        return True
    if "no space left" in str(error).lower() or "os error 28" in str(error).lower():
        return True
    cause = error.__cause__ or error.__context__
    return cause is not None and _no_space(cause)


def _remove_unfinished(folder: Path) -> None:
    """Clear what a killed attempt left under temporary names."""
    if folder.is_dir():
        for leftover in folder.glob(".*.part"):
            remove(leftover)


def _keep(reserve: Path) -> None:
    try:
        reserve.write_bytes(b"\0" * _RESERVE_BYTES)
    except OSError:
        reserve.unlink(missing_ok=True)


def _report(run: Run, writer: events.EventWriter, stop: threading.Event, sampler: Sampler) -> None:
    """Write resource samples, and the news that a stop was asked for."""
    announced = False
    asked = run.folder / STOP_FILE
    try:
        while True:
            if not announced and asked.exists():
                if words := asked.read_text("utf-8"):
                    writer.write("log", text=words, level="warning")
                stop.set()
            if stop.is_set() and not announced:
                writer.write("stopping")
                announced = True
            if announced:
                threading.Event().wait(_SAMPLE_SECONDS)
            else:
                stop.wait(_SAMPLE_SECONDS)
            writer.write("resource", **sampler.sample())
    except OSError:
        return  # a full disk ends the samples; the stage itself reports it


def about(run: Run) -> dict[str, object]:
    """What every manifest of the run says of it."""
    job = run.job
    return job.model_dump(
        mode="json", include={"stage", "params", "inputs", "fingerprint", "versions"}
    )


def _call_hook(run: Run, state: str) -> None:
    """The user's own command at the end of a job ([jobs] on_end)."""
    try:
        command = load_settings(run.folder.parent.parent / FILE_NAME).jobs.on_end
    except HaruonError:
        return
    if command:
        named = {"HARUON_JOB": run.id, "HARUON_STAGE": run.stage, "HARUON_STATE": state}
        subprocess.run(command, shell=True, check=False, env=os.environ | named, timeout=60)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))
