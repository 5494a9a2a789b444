"""A proven GGUF of a small random model, and the kit with its node_modules."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from platformdirs import user_cache_path

from haruon_tui import artifacts
from haruon_tui.dataset import golden
from haruon_tui.evaluation.cases import read_cases
from haruon_tui.export import kit, results
from haruon_tui.export.prompt import pieces
from haruon_tui.export.stage import Params
from haruon_tui.gguf.convert_stage import F16_FILE, PROOF_FILE
from haruon_tui.jobs.context import JobContext
from tests.gguf.conftest import build_model

ROOM = 4096
"""The small tokenizer takes more tokens for a prompt than Qwen2's."""


@pytest.fixture(scope="session")
def source_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_model(tmp_path_factory.mktemp("export") / "model")


@pytest.fixture(scope="session")
def proven(source_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The artefacts of a finished conversion."""
    from haruon_tui.gguf import convert_stage

    job = JobContext.local(tmp_path_factory.mktemp("convert") / "run")
    convert_stage.run(convert_stage.Params(model=source_model, name="Haruon test"), job)
    return job.artifacts


@pytest.fixture
def params(proven: Path, tmp_path: Path) -> Callable[..., Params]:
    """The parameters of an export into tmp_path, with changes."""

    def made(**changes: Any) -> Params:
        values: dict[str, Any] = {
            "gguf": proven / F16_FILE,
            "type": "F16",
            "proof": proven / PROOF_FILE,
            "cases": [golden.cases_file()],
            "rules": "calibrated",
            "context": ROOM,
            "max_tokens": 64,
            "temperature": 0.7,
            "top_p": 0.95,
            "out": tmp_path / "앱 폴더" / "app",
        }
        return Params(**(values | changes))

    return made


class Qwen2Template:
    """Renders chats by the template that comes with the program."""

    def __init__(self) -> None:
        from jinja2.sandbox import ImmutableSandboxedEnvironment

        from haruon_tui.model.tiny import qwen2_template

        environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
        self._template = environment.from_string(qwen2_template())

    def render_chat(self, messages: list[dict[str, str]]) -> str:
        return self._template.render(messages=messages, add_generation_prompt=True)


@pytest.fixture(scope="session")
def checked_kit() -> Iterator[Path]:
    """The kit of a described model, its packages installed: in the cache, once per lock file."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("the kit is not tested: node and npm are not installed here")
    lock = (kit.source() / "package-lock.json").read_bytes()
    folder = user_cache_path("haruon") / "kit" / hashlib.sha256(lock).hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f"{folder.name}.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        for name in ("src", "__tests__"):
            shutil.rmtree(folder / name, ignore_errors=True)
        _describe(folder)
        if not (folder / "node_modules" / ".package-lock.json").exists():
            installed = subprocess.run(
                [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
                cwd=folder,
                capture_output=True,
                text=True,
                check=False,
            )
            if installed.returncode:
                shutil.rmtree(folder / "node_modules", ignore_errors=True)
                pytest.skip(f"the kit is not tested: npm ci fails: {installed.stderr[-300:]}")
        yield folder


def _describe(folder: Path) -> None:
    parts = pieces(Qwen2Template())
    manifest = {
        "format": "haruon-app-1",
        "model": {
            "file": "model/haruon.Q4_K_M.gguf",
            "bytes": 986_048_768,
            "sha256": "0" * 64,
            "type": "Q4_K_M",
            "name": "Haruon",
        },
        "context": 2048,
        "max_tokens": 800,
        "stop": ["<|im_end|>", "<|endoftext|>"],
        "sampling": {
            "temperature": 0.7,
            "top_p": 0.95,
            "top_k": 40,
            "min_p": 0.05,
            "repeat_penalty": 1.0,
        },
        "rules": {"name": "calibrated"},
        "targets": results.targets(),
    }
    made = folder / "made"
    shutil.rmtree(made, ignore_errors=True)
    kit.write(made, manifest, parts, read_cases(golden.cases_file()))
    shutil.copytree(made, folder, dirs_exist_ok=True)
    shutil.rmtree(made)


def npm_run(folder: Path, *command: str) -> str:
    """Run a program of the kit's packages, which must succeed. Returns its output.

    What passed with the very same files is not run again: `passed/` keeps the output by the digest
    of the command and of every file but the packages, which their lock file stands for.
    """
    seen = hashlib.sha256("\0".join(command).encode())
    for path in sorted(_own_files(folder)):
        seen.update(f"\0{path.relative_to(folder)}\0".encode() + path.read_bytes())
    passed = folder / "passed" / seen.hexdigest()
    if passed.exists():
        return passed.read_text("utf-8")
    ran = subprocess.run(
        [str(folder / "node_modules" / ".bin" / command[0]), *command[1:]],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        env=os.environ | {"CI": "1"},
    )
    assert ran.returncode == 0, ran.stdout[-6000:]
    passed.parent.mkdir(exist_ok=True)
    artifacts.write_text(passed, ran.stdout)
    return ran.stdout


def _own_files(folder: Path) -> Iterator[Path]:
    yield from (path for path in folder.iterdir() if path.is_file())
    for name in ("src", "__tests__"):
        yield from (path for path in (folder / name).rglob("*") if path.is_file())
