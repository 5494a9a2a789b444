"""The Train screen on a run of 200,000 logged points: how long until its curve is seen and until
it is seen to the last point, how long a redraw takes, and how late the event loop wakes while 50
points a second come in.

Every point has four metrics and is followed by a progress event, as a training with log_every = 1
writes them.
"""

from __future__ import annotations

import json
import math
import os
import random
import sys
import tempfile
import threading
import time
from pathlib import Path

import pexpect

from bench.terminal import spawn
from haruon_tui.jobs.events import EventWriter
from haruon_tui.jobs.liveness import Identity
from haruon_tui.jobs.store import PROCESS_FILE, Run, Store
from haruon_tui.workspace import Workspace

POINTS = 200_000
_LIVE_PER_SECOND = 50
_LIVE_SECONDS = 20.0
_BARS = {"open_seconds": 1.0, "redraw_p90_ms": 50.0, "lateness_p99_ms": 50.0}


def measure() -> dict[str, object]:
    """Seconds and milliseconds, and whether each is under its bar."""
    figures: dict[str, object] = {"points": POINTS}
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace.init(Path(folder) / "workspace", "tiny").folder
        run = _run(workspace)
        figures |= _app(workspace, "open")
        figures |= _live(workspace, run)
    figures["bars"] = dict(_BARS)
    figures["holds"] = all(float(str(figures[name])) < bar for name, bar in _BARS.items())
    return figures


def _run(workspace: Path) -> Run:
    """A finished training with its log."""
    job = {"stage": "train", "params": {}, "inputs": {}, "fingerprint": "bench"}
    run = Store(workspace / "runs").create(job)
    chooser = random.Random(7)
    with run.log.open("w", encoding="utf-8") as log:
        seq = 1
        log.write(_line(seq, kind="running", host="bench", pid=1))
        for step in range(1, POINTS + 1):
            log.write(_line(seq + 1, kind="metric", step=step, values=_values(step, chooser)))
            log.write(_line(seq + 2, kind="progress", **_progress(step)))
            seq += 2
        log.write(_line(seq + 1, kind="finished", result={"summary": "done"}))
    return run


def _line(seq: int, **event: object) -> str:
    return json.dumps({"v": 1, "seq": seq, "t": 1.8e9 + seq / 10, "attempt": 1, **event}) + "\n"


def _values(step: int, chooser: random.Random) -> dict[str, float]:
    return {
        "loss": 5 * math.exp(-step / 40_000) + chooser.random(),
        "learning_rate": 1e-4 * (1 - step / (2 * POINTS)),
        "grad_norm": chooser.expovariate(1.0),
        "tokens_per_second": chooser.gauss(4000.0, 100.0),
    }


def _progress(step: int) -> dict[str, object]:
    return {"done": step, "total": 2 * POINTS, "phase": "training", "unit": "steps"}


def _live(workspace: Path, run: Run) -> dict[str, float]:
    """The same run goes on, 50 points a second, written by this process."""
    identity = Identity.of(os.getpid(), 2)
    (run.folder / PROCESS_FILE).write_text(identity.model_dump_json(), encoding="utf-8")
    writer = EventWriter(run.log, attempt=2)
    writer.write("running", host="bench", pid=1)
    ended = threading.Event()

    def write() -> None:
        chooser, step, begun = random.Random(8), POINTS, time.monotonic()
        while not ended.is_set():
            while step - POINTS < (time.monotonic() - begun) * _LIVE_PER_SECOND:
                step += 1
                writer.write("metric", step=step, values=_values(step, chooser))
                writer.write("progress", **_progress(step))
            ended.wait(0.02)

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    try:
        return _app(workspace, "live")
    finally:
        ended.set()
        thread.join()
        writer.close()


def _app(workspace: Path, what: str) -> dict[str, float]:
    out = workspace / f"{what}.json"
    script = str(Path(__file__).with_name("charted_app.py"))
    numbers = [str(POINTS), str(_LIVE_SECONDS)]
    command = [sys.executable, script, str(workspace), str(out), what, *numbers]
    child = spawn(command, workspace, columns=200, lines=60)
    child.timeout = 120
    child.expect(pexpect.EOF)
    child.close()
    figures: dict[str, float] = json.loads(out.read_text())
    return figures
