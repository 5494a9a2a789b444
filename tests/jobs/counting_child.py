"""A job child that knows one more stage, `count`: small, stoppable, with checkpoints."""

import os
import signal
import sys
import time
from pathlib import Path

from haruon_tui import stage as contract
from haruon_tui.errors import StageError
from haruon_tui.jobs import child


class Params(contract.Params):
    steps: int = 3
    seconds: float = 0.0
    crash_at: int = 0
    fail: bool = False
    ignore_stop: bool = False
    fill_disk: bool = False
    source: contract.InputPath | None = None


class Result(contract.Result):
    total: int


def run(params: Params, job) -> Result:
    if params.fail:
        raise StageError("the count is off", where="here", expected="a number", do="count again")
    if params.ignore_stop:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    position = job.scratch / "position"
    done = int(position.read_text()) if position.exists() else 0
    while done < params.steps:
        if not params.ignore_stop:
            job.raise_if_stopped()
        done += 1
        time.sleep(params.seconds)
        job.metric(done, value=float(done), loss=float("nan") if done == 2 else 1.0 / done)
        job.progress(done, params.steps, phase="counting", unit="steps")
        if done == params.crash_at and job.attempt == 1:
            print("about to die", flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        position.write_text(str(done))
        job.checkpoint(done, position)
    if params.fill_disk:
        with job.artifact("big.bin") as temporary, temporary.open("wb") as stream:
            for _ in range(64):
                stream.write(b"x" * (1 << 20))
    with job.artifact("count.txt") as temporary:
        temporary.write_text(str(done))
    return Result(summary=f"counted to {done}", total=done)


STAGE = contract.Stage("count", "Count", "counting", "cpu")
contract.STAGES["count"] = STAGE
sys.modules["counting"] = sys.modules[__name__]

if __name__ == "__main__":
    sys.exit(child.main(Path(sys.argv[1]), int(sys.argv[2])))
