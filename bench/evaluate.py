"""The tiny profile's evaluation cases on the tuned model: the guide's loop (section 5.2, one
report after another by transformers) against `haruon evaluate` on its GGUFs and on its folder.

    BENCH_WORKSPACE=demo python -m bench evaluate

The workspace is one that `haruon pipeline --to quantize` has finished, as `make demo` does. The
loop gets what is fairest: greedy decoding, float32, the same limit and the same cores. Ours
counts whole, with loading, its process and the scoring. Also said: whether the figures of a model
are the same when it is evaluated again, and whether those of the Hugging Face model and of its
F16 GGUF lie in each other's intervals.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Any

from haruon_tui import planning
from haruon_tui.errors import ConfigurationError
from haruon_tui.evaluation import choice, stage
from haruon_tui.evaluation.cases import Case, read_all
from haruon_tui.jobs.context import JobContext
from haruon_tui.jobs.store import Store
from haruon_tui.workspace import Workspace

GGUFS = ("F16", "Q4_K_M")


def measure() -> dict[str, Any]:
    """Seconds of each way, how many times as fast ours is, and how the figures agree."""
    workspace = Workspace.find(Path(os.environ.get("BENCH_WORKSPACE", "demo")))
    store = Store(workspace.runs)
    steps = planning.plan(workspace, store)
    params = planning.require_done(steps, "evaluate", "merge", "convert", "quantize").params
    if not isinstance(params, stage.Params):
        raise ConfigurationError("no evaluation is planned", where=str(workspace.folder))
    known = choice.candidates(workspace.settings, planning.inputs(store, steps))
    cases = read_all(params.cases, params.limit)
    loop, tokens = guides_loop(known["tuned"].path, cases, params.max_new_tokens)
    found: dict[str, Any] = {"cases": len(cases), "loop_seconds": round(loop, 1)}
    found["loop_tokens"] = tokens
    reports = {}
    for name in ("tuned", *GGUFS):
        seconds, reports[name] = evaluated(choice.choose(params, [name], known))
        found[f"{name}_seconds"] = round(seconds, 1)
        found[f"{name}_times_as_fast"] = round(loop / seconds, 2)
    for name in ("tuned", "F16"):
        _, again = evaluated(choice.choose(params, [name], known))
        found[f"{name}_same_figures_twice"] = again.figures == reports[name].figures
    found["hf_and_f16_agree"] = agree(reports["tuned"], reports["F16"])
    return found


def guides_loop(folder: Path, cases: list[Case], max_new_tokens: int) -> tuple[float, int]:
    """Seconds, loading included, and the tokens written."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    started = time.perf_counter()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    stops = [tokenizer.convert_tokens_to_ids(token) for token in ("<|im_end|>", "<|endoftext|>")]
    written = 0
    for case in cases:
        inputs = tokenizer.apply_chat_template(
            case.messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        with torch.no_grad():
            output = model.generate(
                **inputs,
                max_new_tokens=max_new_tokens,
                do_sample=False,
                eos_token_id=stops,
                pad_token_id=tokenizer.eos_token_id,
            )
        written += output.shape[1] - inputs["input_ids"].shape[1]
        tokenizer.decode(output[0], skip_special_tokens=True)
    return time.perf_counter() - started, written


def evaluated(params: stage.Params) -> tuple[float, stage.ModelReport]:
    """Seconds of the whole stage, and the only model's report."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        result = stage.run(params, JobContext.local(Path(folder) / "run"))
        return time.perf_counter() - started, next(iter(result.models.values()))


def agree(one: stage.ModelReport, other: stage.ModelReport) -> bool:
    """Whether each mean lies in the other's interval, for every figure of every group."""
    return all(
        theirs.low <= ours.mean <= theirs.high and ours.low <= theirs.mean <= ours.high
        for group, figures in one.figures.items()
        for key, ours in figures.items()
        for theirs in [other.figures[group][key]]
    )
