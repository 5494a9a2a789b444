"""Converting a model of Qwen2-1.5B's shape (3.1 GB of random bf16) to F16: time and memory.

    LLAMA_CPP=/path/to/vendor/llama.cpp python -m bench convert

Without LLAMA_CPP only ours is measured. Needs 10 GB in the folder for temporary files; both are
run twice, in turns, each in a process of its own, imports included; the better time counts. Ours
also waits until the file is on the disk, which theirs leaves to the system: both times are told.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench import reference_converter
from bench.gguf_models import build

SHAPE = {
    "layers": 28,
    "hidden": 1536,
    "feed_forward": 8960,
    "heads": 12,
    "kv_heads": 2,
    "vocabulary": 151936,
}
RUNS = 2
_OURS = """
import json, resource, sys, threading, time
started = time.monotonic()
from pathlib import Path
def anonymous():
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
peak, over = 0, threading.Event()
def watch():
    global peak
    while not over.wait(0.005):
        peak = max(peak, anonymous())
watcher = threading.Thread(target=watch)
watcher.start()
written = 0
def progress(done, total):
    global written
    written = time.monotonic()
from haruon_tui.gguf.convert import convert
convert(Path(sys.argv[1]), Path(sys.argv[2]), progress=progress)
end = time.monotonic()
over.set()
watcher.join()
print(json.dumps({"seconds": written - started, "on_disk": end - started, "anonymous": peak}))
"""


def measure() -> dict[str, Any]:
    source = reference_converter.folder()
    real = source / "models" / "ggml-vocab-qwen2.gguf" if source else None
    ours, theirs = [], []
    same: bool | None = None
    with tempfile.TemporaryDirectory() as kept:
        model = build(Path(kept) / "model", real_vocabulary=real, **SHAPE)
        made, reference = Path(kept) / "ours.gguf", Path(kept) / "theirs.gguf"
        for _ in range(RUNS):
            if source:
                theirs.append(reference_converter.run(source, model, reference, "F16"))
            ours.append(_run_ours(model, made))
        if source:
            same = not reference_converter.differing(
                reference_converter.contents(made), reference_converter.contents(reference)
            )
        size = made.stat().st_size
    best = min(run["seconds"] for run in ours)
    found: dict[str, Any] = {
        "bytes": size,
        "seconds": [round(run["seconds"], 1) for run in ours],
        "on_disk_seconds": [round(run["on_disk"], 1) for run in ours],
        "peak_rss_anon_gb": round(max(run["anonymous"] for run in ours) / 1e9, 3),
    }
    if theirs:
        found |= {
            "llama_cpp_seconds": [round(seconds, 1) for seconds in theirs],
            "ratio": round(best / min(theirs), 2),
            "same_file": same,
        }
    return found


def _run_ours(model: Path, out: Path) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-c", _OURS, str(model), str(out)],
        capture_output=True,
        text=True,
        check=True,
    )
    measured: dict[str, float] = json.loads(done.stdout)
    return measured
