"""The whole comparison, F16 and five quantizations, at Qwen2-1.5B's shape, killed on its way.

    LLAMA_CPP=/path/to/vendor/llama.cpp python -m bench five_types

Quality on 8 chunks, pp512 and tg128, a short report. The process is killed with SIGKILL when two
rows are kept, and started again: it goes on with the third. The vocabulary is Qwen2's own, from
llama.cpp's source (docs/gguf.md); without LLAMA_CPP it is one of bytes. Needs 10 GB in the folder
for temporary files and some 40 minutes on 2 cores; SHAPE=small takes a model of 1 % for a try.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench import convert as bench_convert
from bench import reference_converter
from bench.gguf_models import build
from haruon_tui.comparison.rows import ROW_SUFFIX, read_rows
from haruon_tui.dataset import golden
from haruon_tui.gguf.convert import convert
from haruon_tui.gguf.quantize import quantize
from haruon_tui.settings import Quantization

TYPES: tuple[Quantization, ...] = ("Q4_0", "Q4_1", "Q4_K_M", "Q5_K_M", "Q8_0")
SMALL: dict[str, Any] = {
    "layers": 4,
    "hidden": 256,
    "feed_forward": 768,
    "heads": 4,
    "kv_heads": 2,
    "vocabulary": 4096,
}
KEPT_BEFORE_THE_KILL = 2
_COMPARE = """
import json, sys
from pathlib import Path
from haruon_tui.comparison import stage
from haruon_tui.jobs.context import JobContext
stage.run(stage.Params(**json.loads(sys.argv[1])), JobContext.local(Path(sys.argv[2])))
"""


def measure() -> dict[str, Any]:
    shape: dict[str, Any] = SMALL if os.environ.get("SHAPE") == "small" else bench_convert.SHAPE
    with tempfile.TemporaryDirectory() as kept:
        folder = Path(kept)
        files = _make(folder, shape)
        params = {
            "files": list(map(str, files)),
            "cases": str(golden.cases_file()),
            "held_out": str(golden.reports_file()),
            "report_cases": 1,
            "quality_chunks": 8,
            "rules": "calibrated",
            "prompt_tokens": 512,
            "generate_tokens": 128,
            "repeats": 2,
            "report_tokens": 32,
            "context": 2048,
        }
        run = folder / "run"
        command = [sys.executable, "-c", _COMPARE, json.dumps(params), str(run)]
        before, first = _killed(command, run)
        started = time.monotonic()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        rest = time.monotonic() - started
        rows = read_rows(run)
        return {
            "parameters": rows[0]["parameters"],
            "seconds_before_the_kill": round(first, 1),
            "seconds_after": round(rest, 1),
            "rows_kept": sum(row in rows for row in before),
            "rows": [
                [row["type"], row["bytes"], row.get("error", row.get("no_quality", "measured"))]
                for row in rows
            ],
        }


def _make(folder: Path, shape: dict[str, Any]) -> list[Path]:
    first = folder / "model.F16.gguf"
    source = reference_converter.folder() if shape is not SMALL else None
    real = source / "models" / "ggml-vocab-qwen2.gguf" if source else None
    convert(build(folder / "model", real_vocabulary=real, **shape), first)
    shutil.rmtree(folder / "model")
    files = [first]
    for kind in TYPES:
        files.append(folder / f"model.{kind}.gguf")
        quantize(first, files[-1], kind)
    return files


def _killed(command: list[str], run: Path) -> tuple[list[dict[str, Any]], float]:
    """Start it and kill it, with its own children, when enough rows are kept."""
    started = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
    while len(list((run / "scratch").glob(f"*{ROW_SUFFIX}"))) < KEPT_BEFORE_THE_KILL:
        if process.poll() is not None:
            sys.exit(f"the comparison ended by itself with {process.returncode}")
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return read_rows(run), time.monotonic() - started
