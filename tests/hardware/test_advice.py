"""Every row that fails or warns names a command that runs or a key that validates."""

from __future__ import annotations

import contextlib
import io
import os
import shlex
import shutil
import subprocess
import sys
import tomllib
import urllib.error
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from haruon_tui.cli.parser import parse
from haruon_tui.hardware import (
    accelerator,
    checks,
    hub,
    libraries,
    memory,
    probe,
    processor,
    storage,
    system,
    terminal,
)
from haruon_tui.hardware.cgroup import Limits
from haruon_tui.hardware.gpus import Gpu, GpuProcess, Reading
from haruon_tui.hardware.needs import Amount
from haruon_tui.hardware.recipe_needs import Training, Writes, training_of
from haruon_tui.hardware.row import Row
from haruon_tui.settings import Settings, build, default_settings

GIB = 1 << 30
ROOT = Path(__file__).parents[2]
QWEN = default_settings("qwen2-1.5b")
OTHER_ENGINE = {"engine": "llamafactory", "llamafactory_cli": "/none/llamafactory-cli"}
TINY = training_of(default_settings("tiny"))
LARGE = training_of(QWEN)
CARD = Gpu(0, "RTX 4090", 24 * GIB, 20 * GIB, driver="520.61.05", compute_capability=(7, 5))
NO_GPU, ONE = Reading(), Reading([CARD])
TROUBLE = Reading(problem="nvidia-smi did not answer")
Force = Callable[[pytest.MonkeyPatch, Path], "Row | list[Row]"]


def based_on(base: str) -> Settings:
    return build({"profile": "qwen2-1.5b", "model": {"base": base}})


def with_attribute(target: Any, name: str, value: Any, row: Callable[[], Row]) -> Force:
    def force(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Row:
        monkeypatch.setattr(target, name, value)
        return row()

    return force


def limited(cores: float | None, amount: int | None) -> Callable[[], Limits]:
    return lambda: Limits(cores=cores, memory=amount)


def video(training: Training | None, reading: Reading, chosen: list[int] | None = None) -> Row:
    return accelerator.video_memory(training, True, reading, chosen, 16 * GIB)


def gpu_rows(monkeypatch: pytest.MonkeyPatch, folder: Path) -> list[Row]:
    monkeypatch.setattr(accelerator, "torch_cuda", lambda: "12.8")
    unknown = Reading([Gpu(0, "GB10")])
    old = Reading([Gpu(0, "K80", driver="460.1", compute_capability=(3, 7))])
    small = Reading([Gpu(0, "GT", GIB, 0)])
    held = [GpuProcess(0, 4_000_000, 20 * GIB, "김", "학습")]
    return [
        accelerator.gpu(True, 16, NO_GPU),
        accelerator.gpu(True, 16, TROUBLE),
        video(LARGE, NO_GPU),
        video(LARGE, TROUBLE),
        video(LARGE, ONE),
        video(LARGE, small),
        video(LARGE, unknown),
        video(LARGE, ONE, []),
        video(TINY, Reading([Gpu(0, "busy", 24 * GIB, 24 * GIB - 1)])),
        accelerator.driver(unknown),
        accelerator.driver(ONE),
        accelerator.capability("auto", unknown),
        accelerator.capability("bf16", ONE),
        accelerator.capability("auto", old),
        accelerator.processes(ONE, None),
        accelerator.processes(ONE, held),
    ]


def apple_rows(monkeypatch: pytest.MonkeyPatch, folder: Path) -> list[Row]:
    monkeypatch.setattr(accelerator, "apple_silicon", lambda: True)
    monkeypatch.setattr(accelerator.platform, "mac_ver", lambda: ("13.1", ("", "", ""), "arm64"))
    return [accelerator.mps(), video(LARGE, NO_GPU)]


def library_rows(monkeypatch: pytest.MonkeyPatch, folder: Path) -> list[Row]:
    there, absent = (lambda name: "1.0"), (lambda name: None)
    broken = {"problem": "it ended its process (SIGILL)"}
    monkeypatch.setattr(probe, "ask", lambda *_: broken)
    file = folder / "libggml.so"
    file.touch()
    monkeypatch.setattr(libraries, "_llama_libraries", lambda: [file])
    monkeypatch.setattr(libraries, "torch_cuda", lambda: None)
    monkeypatch.setattr(libraries, "installed", there)
    rows = [
        libraries.torch_build(True, NO_GPU),
        libraries.torch_build(False, ONE),
        libraries.llama_cpp(NO_GPU, 1),
        libraries.bitsandbytes("qlora", 1),
        libraries.llamafactory(QWEN.train.model_copy(update=OTHER_ENGINE)),
    ]
    monkeypatch.setattr(probe, "ask", lambda *_: {"offload": False})
    rows.append(libraries.llama_cpp(ONE, 1))
    monkeypatch.setattr(libraries, "_llama_libraries", list)
    rows.append(libraries.llama_cpp(ONE, 1))
    monkeypatch.setattr(libraries, "installed", absent)
    rows += [
        libraries.torch_build(True, NO_GPU),
        libraries.llama_cpp(NO_GPU, 1),
        libraries.bitsandbytes("qlora", 1),
    ]
    return rows


def memory_rows(monkeypatch: pytest.MonkeyPatch, folder: Path) -> list[Row]:
    large = training_of(build({"profile": "tiny", "train": {"batch_size": 512}}))
    rows = [memory.memory(Amount(100, 2000)), memory.memory(Amount(1e6, 1e6))]
    monkeypatch.setattr(memory.cgroup, "limits", limited(None, 4 * GIB))
    return [*rows, memory.memory(Amount(12, 32)), memory.memory(Amount(2, 4), large)]


def disk_rows(monkeypatch: pytest.MonkeyPatch, folder: Path) -> list[Row]:
    writes = Writes({"merged model": 1 << 60}, 1 << 60)
    odd = folder / "작업 'odd' 공간"
    odd.mkdir()
    rows = [
        storage.disk(odd, writes, 100),
        storage.disk(odd, None, 1 << 40),
        storage.write_speed(odd, 1e9),
    ]
    monkeypatch.setattr(storage, "_same_disk", lambda *_: False)
    rows.append(storage.cache_disk(odd, writes, odd))

    def refuse(**_: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(storage.tempfile, "TemporaryFile", refuse)
    return [*rows, storage.write_speed(odd, 1)]


def hub_rows(monkeypatch: pytest.MonkeyPatch, folder: Path) -> list[Row]:
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HUB_CACHE", str(folder / "none"))
    rows = [hub.model(QWEN), hub.model(based_on(str(folder / "없는 폴더")))]
    for code in (401, 404, 503):
        error = urllib.error.HTTPError("http://hub", code, "", None, None)  # type: ignore[arg-type]

        def answer(*_: Any, error: Exception = error, **__: Any) -> Any:
            raise error

        monkeypatch.setattr(hub.urllib.request, "urlopen", answer)
        rows.append(hub.hub(QWEN))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("OPENAI_BASE_URL", "ftp://x")
    wrong = QWEN.generate.model_copy(update={"base_url": "no address"})
    return [*rows, hub.model(QWEN), hub.endpoint(QWEN.generate), hub.endpoint(wrong)]


def terminal_rows(monkeypatch: pytest.MonkeyPatch, folder: Path) -> list[Row]:
    monkeypatch.setattr(terminal.os, "get_terminal_size", lambda _: os.terminal_size((60, 20)))
    monkeypatch.setattr(terminal, "_is_terminal", lambda: True)
    monkeypatch.setattr(terminal.locale, "getpreferredencoding", lambda _: "ANSI_X3.4-1968")
    monkeypatch.setenv("TERM", "dumb")
    (folder / "run/systemd/system").mkdir(parents=True)
    monkeypatch.setattr(terminal, "_kills_user_processes", lambda root: True)
    return [
        terminal.terminal_size(),
        terminal.colours(),
        terminal.unicode(),
        terminal.outlives_logout(folder),
    ]


def processor_rows(monkeypatch: pytest.MonkeyPatch, folder: Path) -> list[Row]:
    monkeypatch.setattr(processor, "cpu_flags", lambda: frozenset({"sse2"}))
    monkeypatch.setattr(processor.os, "sched_getaffinity", lambda pid: {0}, raising=False)
    monkeypatch.setattr(processor.os, "cpu_count", lambda: 1)
    monkeypatch.setattr(processor.cgroup, "limits", limited(None, None))
    rows = [processor.instructions("x86_64"), processor.cores()]
    monkeypatch.setattr(processor.os, "cpu_count", lambda: 8)
    return [*rows, processor.cores()]


def silent_rows(monkeypatch: pytest.MonkeyPatch, folder: Path) -> list[Row]:
    return [checks._silent("hub", "Model hub", 2.1), checks._unknown("ram", "Memory", "OSError")]


FORCED: dict[str, Force] = {
    "os": with_attribute(system.platform, "system", lambda: "Windows", system.operating_system),
    "python": with_attribute(sys, "version_info", (3, 9, 1), system.python),
    "environment": with_attribute(sys, "prefix", sys.base_prefix, system.environment),
    "git": with_attribute(system.shutil, "which", lambda name: None, system.git),
    "processor": processor_rows,
    "memory": memory_rows,
    "disk": disk_rows,
    "GPU": gpu_rows,
    "Apple": apple_rows,
    "libraries": library_rows,
    "hub": hub_rows,
    "terminal": terminal_rows,
    "silent": silent_rows,
}
ALWAYS_WELL = {"swap", "token", "session"}
ELSEWHERE = {
    "apt-get", "curl", "df", "docker", "loginctl", "ls", "nvidia-smi", "python3",
    "softwareupdate", "stty", "systemd-run", "wsl",
}  # fmt: skip


@pytest.fixture(scope="module")
def forced(tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    """Every row that can be bad, in every way in which it can be."""
    rows: list[Row] = []
    for name, force in FORCED.items():
        with pytest.MonkeyPatch.context() as monkeypatch:
            found = force(monkeypatch, tmp_path_factory.mktemp(name))
        rows += found if isinstance(found, list) else [found]
    return rows


def test_every_check_was_made_to_fail_or_warn(forced: list[Row], tmp_path: Path) -> None:
    assert [row for row in forced if row.verdict not in ("warning", "fails")] == []
    keys = {row.key for row in checks.check_machine(QWEN, tmp_path)}
    assert {row.key for row in forced} == keys - ALWAYS_WELL


def test_what_to_do_names_a_command_or_a_key(forced: list[Row]) -> None:
    for row in forced:
        assert row.commands or row.settings, row
        for words in (*row.commands, *row.settings):
            assert words in row.do, row


def test_every_key_validates(forced: list[Row]) -> None:
    lines = {line for row in forced for line in row.settings}
    assert len(lines) > 5
    for line in lines:
        values = tomllib.loads(line)
        base: dict[str, Any] = {"profile": "qwen2-1.5b"}
        build(base | values)


def runs(command: str) -> bool:
    """Whether a shell takes the command, and its program takes these words: without doing it."""
    if subprocess.run(["sh", "-n", "-c", command]).returncode:
        return False
    words = shlex.split(command)
    if words[0] in ("export", "unset"):
        return subprocess.run(["sh", "-c", command]).returncode == 0
    while "=" in words[0]:
        words.pop(0)
    program, *rest = words
    if program == "haruon":
        return _parses(rest)
    if program == "make":
        return not subprocess.run(["make", "-n", *rest], cwd=ROOT, capture_output=True).returncode
    if program == ".venv/bin/python":
        assert rest[:2] == ["-m", "pip"], command
        return _pip_parses(rest[2:])
    assert program in ELSEWHERE or "xcode" in program, command
    return program in ("docker", "nvidia-smi") or not _refuses_help(program)


def _parses(arguments: list[str]) -> bool:
    parse(arguments)
    with contextlib.redirect_stdout(io.StringIO()) as text, pytest.raises(SystemExit) as end:
        parse([*arguments, "--help"])
    return end.value.code == 0 and "usage: haruon" in text.getvalue()


def _pip_parses(arguments: list[str]) -> bool:
    """pip reads its options in order, so it gets to --help only after all others."""
    command = [sys.executable, "-m", "pip", *arguments, "--help"]
    return subprocess.run(command, capture_output=True).returncode == 0


def _refuses_help(program: str) -> bool:
    """Not where there is no such program: this is another system's."""
    if shutil.which(program) is None:
        return False
    done = subprocess.run([program, "--help"], capture_output=True, stdin=subprocess.DEVNULL)
    return done.returncode != 0


def test_every_command_runs(forced: list[Row]) -> None:
    commands = {command for row in forced for command in row.commands}
    assert {command.split()[0] for command in commands} >= {"haruon", "make", "nvidia-smi"}
    assert [command for command in sorted(commands) if not runs(command)] == []


def test_a_command_or_key_that_does_not_exist_is_found_out() -> None:
    with contextlib.redirect_stderr(io.StringIO()), pytest.raises(SystemExit):
        runs("haruon doctor --cure")
    assert not runs("ls 'unfinished")
    assert not runs("make no-such-target")
    assert not runs(".venv/bin/python -m pip install --no-such-option torch")
