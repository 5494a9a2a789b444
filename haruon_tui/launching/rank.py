"""One process of several that do a stage's work together: what `accelerate launch` starts.

`python -m haruon_tui.launching.rank FOLDER`, of a run. Under a job, it hears the job on its
stdin and writes its own log. Started by hand, rank 0 is the job itself: it writes the run's log,
so that the terminal program and `haruon jobs` follow the run as any other. Where FOLDER is a
workspace, rank 0 makes the run first, of a training with the settings of its haruon.toml.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from haruon_tui.errors import ConfigurationError, Exit, HaruonError, StageError
from haruon_tui.jobs import child
from haruon_tui.jobs.context import JobContext, Level
from haruon_tui.jobs.events import EventWriter, tail
from haruon_tui.jobs.store import Run
from haruon_tui.launching.supervise import log_of
from haruon_tui.launching.world import SUPERVISED, World
from haruon_tui.stage import STAGES
from haruon_tui.workspace import FILE_NAME

_LAUNCHED = frozenset({"RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"})


class QuietRank(JobContext):
    """A rank that does not speak for all: of what it reports only warnings are kept."""

    def progress(self, done: float, total: float, *, phase: str = "", unit: str = "") -> None:
        """Rank 0 says it."""

    def metric(self, step: int, **values: float) -> None:
        """Rank 0 says it."""

    def log(self, text: str, level: Level = "info") -> None:
        if level != "info":
            super().log(text, level)

    def sample(self, step: int, prompt: str, text: str) -> None:
        """Rank 0 says it."""

    def checkpoint(self, step: int, path: Path) -> None:
        """Rank 0 says it."""


def main(folder: Path) -> int:
    """Work as the rank that the environment says, and return the exit code."""
    world = World.here()
    supervised = os.environ.get(SUPERVISED)
    if not world.launched:
        raise ConfigurationError(
            "is started by a launcher, not by itself",
            where="haruon_tui.launching.rank",
            do="haruon train, or the command that haruon train --commands prints",
        )
    run = Run(_prepared(folder, world) if (folder / FILE_NAME).exists() else folder)
    folder = run.folder
    recent = tail(run.log)
    attempt = int(supervised) if supervised else (recent[-1]["attempt"] if recent else 0) + 1
    if not supervised and world.leads:
        return child.main(folder, attempt)
    stop = threading.Event()
    if supervised:
        threading.Thread(target=_listen, args=(stop,), daemon=True).start()
    else:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
    log = log_of(folder, world.rank)
    log.parent.mkdir(exist_ok=True)
    writer = EventWriter(log, attempt=attempt)
    kind = JobContext if world.leads else QuietRank
    job = kind(
        folder,
        writer,
        stop=stop,
        about=child.about(run),
        devices=run.job.devices,
        wait_for_memory=run.job.wait_for_memory,
    )

    def work() -> Any:
        writer.write("running", host=os.uname().nodename, pid=os.getpid(), rank=world.rank)
        module = STAGES[run.stage].load()
        return module.run(module.params.model_validate(run.job.params), job)

    state, fields, code = child.outcome(work, job)
    writer.write(state, **fields)
    return code


def _prepared(workspace: Path, world: World) -> Path:
    """The folder of the run that rank 0 makes, or of the one that is to be gone on with; the
    others hear of it. Raises StageError."""
    from accelerate import PartialState
    from accelerate.utils import broadcast_object_list
    from torch.cuda import is_available

    told: list[str] = [""]
    error = ""
    if world.leads:
        alone = {name: text for name, text in os.environ.items() if name not in _LAUNCHED}
        command = [sys.executable, "-P", "-m", "haruon_tui", "train", "--prepare"]
        made = subprocess.run(
            [*command, "-C", str(workspace)], env=alone, capture_output=True, text=True
        )
        told, error = [made.stdout.strip()], made.stderr.strip()
    PartialState(cpu=not is_available())
    broadcast_object_list(told)
    if not told[0]:
        raise StageError(error or "rank 0 could not make the run", where=str(workspace))
    return Path(told[0])


def _listen(stop: threading.Event) -> None:
    """Hear the job. A stop is for all ranks, whichever hears it; where the job has gone, so goes
    the rank, at once."""
    while line := os.read(0, 64):
        if line.strip():
            stop.set()
    os._exit(Exit.INTERRUPTED)


if __name__ == "__main__":
    try:
        sys.exit(main(Path(sys.argv[1]).absolute()))
    except HaruonError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
