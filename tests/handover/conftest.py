"""A workspace whose plan is done: runs as the program makes them, with small artefacts."""

from __future__ import annotations

import itertools
import json
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from haruon_tui import planning
from haruon_tui.evaluation.figures import FIGURES
from haruon_tui.gguf.quantize_stage import file_name
from haruon_tui.jobs.context import JobContext
from haruon_tui.jobs.events import EventWriter
from haruon_tui.jobs.fingerprint import fingerprint
from haruon_tui.jobs.store import Run, Store
from haruon_tui.stage import STAGES, Params
from haruon_tui.workspace import Workspace

VERSIONS = {"haruon-tui": "0.1.0", "torch": "2.13.0+cpu", "gguf": "0.19.0"}
DONE = ("dataset", "model", "train", "merge", "convert", "quantize", "compare", "evaluate")
TYPES = ("Q4_0", "Q4_K_M")
_NUMBERS = itertools.count()


class Finished:
    """Finishes stages of a workspace one after the other, each as planned at that moment."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.store = Store(workspace.runs)

    @property
    def steps(self) -> dict[str, planning.Step]:
        return planning.plan(self.workspace, self.store)

    def __getitem__(self, stage: str) -> Run:
        run = self.steps[stage].finished
        assert run
        return run

    def finish(self, *stages: str, **changes: Any) -> Finished:
        for stage in stages:
            params = self.steps[stage].params
            self.run(stage, params.model_copy(update=changes))
        return self

    def run(self, stage: str, params: Params) -> Run:
        mark, inputs = fingerprint(STAGES[stage], params, self.store.folder)
        about = {
            "stage": stage,
            "params": params.model_dump(mode="json"),
            "inputs": inputs,
            "fingerprint": mark,
            "versions": VERSIONS,
        }
        with pytest.MonkeyPatch.context() as patch:  # those of one second in the order made
            patch.setattr(secrets, "token_hex", lambda _: f"{next(_NUMBERS):04x}")
            run = self.store.create(about)
        job = JobContext(run.folder, EventWriter(run.log, attempt=1), about=about)
        result = _WORK[stage](job, about["params"])
        job.writer.write("finished", result={"summary": stage, **result})
        job.writer.close()
        return run


@pytest.fixture(scope="session")
def _whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _new(tmp_path_factory.mktemp("whole") / "작업").finish(*DONE).workspace.folder


@pytest.fixture
def finished(tmp_path: Path) -> Finished:
    """Nothing is done yet."""
    return _new(tmp_path / "작업 공간")


@pytest.fixture
def whole(_whole: Path, tmp_path: Path) -> Finished:
    """Everything is done, and the workspace was moved since."""
    shutil.copytree(_whole, tmp_path / "작업 공간")
    return Finished(Workspace(tmp_path / "작업 공간"))


def _new(folder: Path) -> Finished:
    workspace = Workspace.init(folder, "tiny")
    workspace.file.write_text(
        f'profile = "tiny"\n[gguf]\nquantize = {json.dumps(TYPES)}\n', encoding="utf-8"
    )
    return Finished(workspace)


def _write(job: JobContext, name: str, content: Any, **about: Any) -> None:
    with job.artifact(name, **about) as path:
        text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
        path.write_text(text, encoding="utf-8")


def _dataset(job: JobContext, params: dict[str, Any]) -> dict[str, Any]:
    for name in ("train.jsonl", "eval.jsonl", "cases.jsonl"):
        _write(job, name, "{}\n")
    counts = {"train": 712, "eval": 38, "cases": 81, "left_out": 3, "golden_share": 0.0431}
    sources = {"sources": {"golden": 31, "composed": 719}, "rule_set": "calibrated"}
    _write(job, "validation.json", counts | sources)
    return counts


def _model(job: JobContext, params: dict[str, Any]) -> dict[str, Any]:
    with job.artifact("model", base=params["base"], revision="main", commit="6f" * 20) as path:
        path.mkdir()
        (path / "config.json").write_text("{}")
    card = {
        "license": "apache-2.0",
        "architecture": "Qwen2ForCausalLM",
        "parameters": 3_739_904,
        "layers": 4,
        "context": 2048,
        "template": "Chat|ML <b>",
    }
    return {"base": params["base"], "card": card}


def _train(job: JobContext, params: dict[str, Any]) -> dict[str, Any]:
    for step, loss in ((1, 5.857489), (50, 0.31291), (52, float("nan")), (60, 0.45321)):
        job.metric(step, loss=loss, learning_rate=0.002)
    job.metric(50, eval_loss=0.39871)
    job.metric(60, eval_loss=0.44114)
    with job.artifact("adapter", step=60) as path:
        path.mkdir()
        (path / "adapter_config.json").write_text("{}")
    return {
        "steps": 60,
        "examples": 712,
        "tokens": 148_435,
        "trainable_parameters": 1_245_184,
        "precision": "bf16",
        "device": "cpu",
        "seconds": 138.7521,
    }


def _merge(job: JobContext, params: dict[str, Any]) -> dict[str, Any]:
    with job.artifact("model") as path:
        path.mkdir()
        (path / "config.json").write_text("{}")
    return {}


def _convert(job: JobContext, params: dict[str, Any]) -> dict[str, Any]:
    _write(job, "model.F16.gguf", "GGUF F16")
    checks = [
        {"name": "stop token", "ok": True, "detail": "eos 2303; <|im_end|> is 2303"},
        {"name": "logits", "ok": True, "detail": "mean KL 2.56e-07 over 162 tokens"},
    ]
    _write(job, "proof.json", checks)
    return {"checks": checks}


def _quantize(job: JobContext, params: dict[str, Any]) -> dict[str, Any]:
    for kind in params["types"]:
        _write(job, file_name(kind), f"GGUF {kind}", quantized={"type": kind})
    return {}


def _compare(job: JobContext, params: dict[str, Any]) -> dict[str, Any]:
    rows = []
    for at, kind in enumerate(("F16", *TYPES)):
        rows.append(
            {
                "type": kind,
                "file": file_name(kind),
                "bytes": 986_048_768 + at,
                "bits_per_weight": 16.019 / (1 + at),
                "generate": {"mean": 132.97 / (1 + at * 9), "sd": 15.1},
                "buffers": {"model": 900_000_000, "KV": 2_097_152},
                "quality": {
                    "perplexity": [19.16 + at, 1.7],
                    "perplexity_ratio": [1 + 0.0113 * at, 0.0027],
                    "divergence": [0.00495 * at, 0.00036],
                    "same_top": [1 - 0.0297 * at, 0.0037],
                },
            }
        )
    rows.append({"type": "Q8_0", "file": file_name("Q8_0"), "error": "does not load"})
    _write(job, "comparison.json", {"rows": rows})
    return {"rows": rows}


def _evaluate(job: JobContext, params: dict[str, Any]) -> dict[str, Any]:
    figures = {
        one.key: {"mean": 0.7531 + at / 100, "low": 0.685, "high": 0.9375}
        for at, one in enumerate(FIGURES)
        if one.key != "grounded"
    }
    models = {name: {"figures": {"all": figures}} for name in params["names"]}
    result = {"cases": 81, "models": models}
    _write(job, "evaluation.json", {"bootstrap": {"level": 0.95}, **result})
    return result


_WORK: dict[str, Callable[[JobContext, dict[str, Any]], dict[str, Any]]] = {
    "dataset": _dataset,
    "model": _model,
    "train": _train,
    "merge": _merge,
    "convert": _convert,
    "quantize": _quantize,
    "compare": _compare,
    "evaluate": _evaluate,
}


def command(folder: Path, *arguments: str) -> int:
    """Run a command line in this process, on a workspace."""
    from haruon_tui.cli.parser import parse
    from haruon_tui.cli.run import run

    return run(parse([*arguments, "-C", str(folder)]))
