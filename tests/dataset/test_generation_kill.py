"""The generation as a job that is killed, and against llama-cpp-python's own server."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from haruon_tui.dataset import records, rules
from haruon_tui.dataset.generation import plan, stage
from haruon_tui.dataset.generation.ledger import State, read
from haruon_tui.jobs import launch
from haruon_tui.jobs.store import Run, Store
from haruon_tui.workspace import Workspace
from tests.dataset.generation_server import GenerationServer
from tests.gguf.conftest import build_model

KEY, KEY_NAME = "sk-test-00112233445566778899", "HARUON_TEST_KEY"
FORM = ("record-shape", "role-order", "empty-content", "missing-section", "trait-level")


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_NAME, KEY)


def wanted(url: str, rules_file: Path, **changed: Any) -> stage.Params:
    given: dict[str, Any] = {
        "provider": "openai",
        "base_url": url,
        "model": "tiny",
        "api_key_env": KEY_NAME,
        "count": 24,
        "examples": 0,
        "temperature": 0.9,
        "max_tokens": 1500,
        "tries": 2,
        "seed": 7,
        "in_flight": 3,
        "timeout": 60.0,
        "budget": 0.0,
        "token_budget": 0,
        "retries": 4,
        "backoff_seconds": 0.01,
        "give_up_after": 10,
        "rules_file": rules_file,
    }
    return stage.Params(**(given | changed))


def until(holds: Callable[[], bool], what: str, seconds: float = 90.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def killed_and_resumed(workspace: Workspace, params: stage.Params, kept: int) -> tuple[Run, State]:
    """Kill the job when so many examples are there, let it go on to its end; the ledger's state
    at the kill."""
    store = Store(workspace.runs)
    ledger, digest = workspace.folder / params.ledger, params.rules_digest
    run = launch.submit(workspace, store, "generate", params).run
    until(
        lambda: len(read(ledger, digest).kept) >= kept or not run.status().state.active,
        "no examples",
    )
    identity = run.status().identity
    assert identity is not None
    os.killpg(identity.pid, signal.SIGKILL)
    until(lambda: run.status().state == "crashed", "the job was not killed")
    at_kill = read(ledger, digest)
    assert 0 < len(at_kill.kept) < params.count
    again = launch.submit(workspace, store, "generate", params)
    assert (again.how, again.run.id) == ("resumed", run.id)
    until(lambda: not run.status().state.active, "it did not end", 120)
    assert run.status().state == "finished", run.last_lines()
    return run, at_kill


def require_once(run: Run, params: stage.Params) -> int:
    """Every accepted example once, with its levels; returns how many."""
    lines = list(records.read(run.artifacts / "accepted.jsonl"))
    found = [line.record["metadata"] for line in lines if isinstance(line, records.Line)]
    assert len(found) == len(lines) == len({metadata["id"] for metadata in found})
    for metadata in found:
        number = int(metadata["id"].rsplit("-", 1)[1]) - 1
        assert metadata["levels"] == plan.levels(number, params.seed)
    return len(found)


def require_no_key(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            assert KEY.encode() not in path.read_bytes(), path


def test_a_killed_job_goes_on_exactly_and_pays_nothing_twice_but_what_was_in_flight(
    workspace: Workspace,
) -> None:
    def choose(number: int) -> str:
        return {3: "429", 7: "500", 9: "label", 11: "stubborn"}.get(number, "good")

    with GenerationServer(choose, delay=0.05) as server:
        params = wanted(server.url, rules.file_of("calibrated"))
        run, at_kill = killed_and_resumed(workspace, params, 8)
        until(lambda: server.in_flight == 0, "requests hang")
    assert require_once(run, params) == 24
    twice = sum(count - 1 for count in server.answered.values())
    assert twice <= len(at_kill.open) <= 3
    result = run.status().result
    assert result is not None
    paid_once = sum(server.answered.values()) - twice
    assert result["input_tokens"] == 1000 * paid_once  # what was in flight is counted as lost
    assert server.keys == {f"Bearer {KEY}"}
    require_no_key(workspace.folder)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small Qwen2 of random weights that soon closes its strings, as a GGUF."""
    import torch
    from transformers import AutoTokenizer

    from haruon_tui.gguf.convert import convert

    folder = tmp_path_factory.mktemp("model")

    def close_soon(model: Any) -> None:
        with torch.no_grad():
            for name, weight in model.named_parameters():
                if name.endswith(("o_proj.weight", "down_proj.weight")):
                    weight.zero_()
            model.model.embed_tokens.weight[:, 0] = 2.0
            model.lm_head.weight[:, 0] = 0.0
            # after the norm, 2.0 beside values of 0.08 is about 15
            model.lm_head.weight[quote, 0] = 0.25

    built = build_model(folder / "first", tied=False)
    quote = AutoTokenizer.from_pretrained(built).convert_tokens_to_ids('"')
    file = folder / "tiny.gguf"
    convert(build_model(folder / "model", tied=False, change=close_soon), file)
    return file


@pytest.fixture(scope="module")
def llama_server(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("server") / "log"
    command = [sys.executable, "-m", "llama_cpp.server", "--model", str(model), "--n_ctx", "8192"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--n_threads", "1"]
    url = f"http://127.0.0.1:{port}/v1"
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as up:

        def answers() -> bool:
            assert up.poll() is None, log.read_text("utf-8", "replace")[-2000:]
            with contextlib.suppress(OSError):
                return bool(urllib.request.urlopen(f"{url}/models", timeout=5).status == 200)
            return False

        try:
            until(answers, "the server does not answer")
            yield url
        finally:
            up.kill()


@pytest.fixture
def form_rules(tmp_path: Path) -> Path:
    """The rules of form alone: a model of random weights cannot keep the others."""
    whole = json.loads(rules.file_of("calibrated").read_text("utf-8"))
    whole["rules"] = [rule for rule in whole["rules"] if rule["id"] in FORM]
    assert len(whole["rules"]) == len(FORM)
    file = tmp_path / "form.json"
    file.write_text(json.dumps(whole, ensure_ascii=False), "utf-8")
    return file


def test_llama_cpps_own_server_writes_under_a_grammar_is_killed_and_goes_on(
    workspace: Workspace, llama_server: str, form_rules: Path
) -> None:
    params = wanted(llama_server, form_rules, count=5, max_tokens=800)
    run, at_kill = killed_and_resumed(workspace, params, 2)
    state = read(workspace.folder / params.ledger, params.rules_digest)
    assert state.dialect.form == "object_schema"  # it knows no json_schema, and says so with 500
    assert require_once(run, params) == len(state.kept) >= 3
    assert set(at_kill.kept.items()) <= set(state.kept.items())
    assert set(at_kill.answers.items()) <= set(state.answers.items())
    assert all(answer.counted for answer in state.answers.values())
    require_no_key(workspace.folder)
