"""An exported model in node-llama-cpp and in llama-cpp-python: same first tokens, own end.

    make second-runtime                      # installs node-llama-cpp, once
    EXPORT=DIR python -m bench second_runtime

EXPORT is the folder of `haruon export app`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from haruon_tui.gguf.native import Model

CHECK = Path(__file__).parents[1] / "scripts" / "second_runtime" / "check.mjs"
FIRST = 16
"""Tokens that are compared."""


def installed() -> str:
    """Why the second runtime cannot run here; empty when it can."""
    if shutil.which("node") is None:
        return "node is not installed here"
    if not (CHECK.parent / "node_modules" / "node-llama-cpp").is_dir():
        return "node-llama-cpp is not installed: make second-runtime"
    return ""


def compare(folder: Path, cases: int) -> list[dict[str, Any]]:
    """Both runtimes' greedy answers to the first `cases` golden prompts of an export.

    Each has `same` (the ids of the first 16 tokens are equal), `tokens` and `end` (the stop string
    of the manifest that ended it, or None) of node-llama-cpp, and `ended` of llama-cpp-python.
    """
    ran = subprocess.run(
        ["node", str(CHECK), str(folder), str(cases)],
        capture_output=True,
        text=True,
        check=True,
    )
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    golden = json.loads((folder / "kit" / "__tests__" / "golden.json").read_text("utf-8"))
    found = []
    with Model(folder / manifest["model"]["file"], context=manifest["context"]) as model:
        for line, case in zip(ran.stdout.splitlines(), golden, strict=False):
            theirs = json.loads(line)
            prompt = model.tokenize(case["prompt"], rendered=True)
            ours, ended = model.generate(prompt, manifest["max_tokens"])
            found.append(
                {
                    "case": case["id"],
                    "same": theirs["first"] == ours[:FIRST],
                    "same_prompt": theirs["prompt_tokens"] == len(prompt),
                    "first": theirs["first"],
                    "text": theirs["text"],
                    "tokens": theirs["tokens"],
                    "tokens_here": len(ours),
                    "end": theirs["end"],
                    "ended": ended,
                }
            )
    return found


def measure() -> dict[str, Any]:
    """The first eight cases of the export in $EXPORT."""
    if reason := installed():
        raise SystemExit(reason)
    if "EXPORT" not in os.environ:
        raise SystemExit("EXPORT names no folder: EXPORT=DIR python -m bench second_runtime")
    found = compare(Path(os.environ["EXPORT"]), 8)
    return {
        "cases": len(found),
        "same_first_tokens": sum(one["same"] for one in found),
        "ended_by_itself": sum(one["end"] is not None for one in found),
        "as_long_as_here": sum(one["tokens"] == one["tokens_here"] for one in found),
        "text": found[0]["text"],
    }
