from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from haruon_tui.hardware import checks, hub, storage, terminal
from haruon_tui.hardware.checks import Row, check_machine
from haruon_tui.hardware.needs import NEEDS
from haruon_tui.settings import default_settings

TINY, QWEN = default_settings("tiny"), default_settings("qwen2-1.5b")


def row(rows: list[Row], key: str) -> Row:
    return next(one for one in rows if one.key == key)


def test_a_machine_without_gpu_passes_for_tiny(no_gpu: None, tmp_path: Path) -> None:
    rows = check_machine(TINY, tmp_path)
    assert row(rows, "gpu").verdict == "not applicable"
    assert [one.key for one in rows if one.verdict == "fails"] == []


def test_a_machine_without_gpu_fails_for_qwen2_and_says_what_to_do(
    no_gpu: None, tmp_path: Path
) -> None:
    gpu = row(check_machine(QWEN, tmp_path), "gpu")
    assert gpu.verdict == "fails"
    assert 'profile = "tiny"' in gpu.do
    assert "16 GiB" in gpu.needed


def test_every_row_that_is_not_good_says_what_to_do(no_gpu: None, tmp_path: Path) -> None:
    for profile in NEEDS:
        for one in check_machine(default_settings(profile), tmp_path):
            assert bool(one.do) == (one.verdict in ("warning", "fails")), one


def test_garbage_from_nvidia_smi_makes_only_its_own_row_unknown(
    nvidia_smi: Any, tmp_path: Path
) -> None:
    nvidia_smi("echo garbage")
    rows = check_machine(TINY, tmp_path)
    assert row(rows, "gpu").found.startswith("unknown")
    assert row(rows, "ram").verdict == "ok"


def test_a_check_that_raises_hides_no_other_row(
    no_gpu: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(path: Path) -> Any:
        raise RuntimeError("odd machine")

    monkeypatch.setattr(storage.shutil, "disk_usage", broken)
    rows = check_machine(TINY, tmp_path)
    assert row(rows, "disk").found == "unknown: RuntimeError: odd machine"
    assert row(rows, "write").verdict == "ok"


def test_a_token_is_named_by_its_variable_and_never_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HUGGING_FACE_HUB_TOKEN", raising=False)
    monkeypatch.setenv("HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    assert (hub.token().found, hub.token().verdict) == ("in HF_TOKEN", "ok")
    monkeypatch.delenv("HF_TOKEN")
    (tmp_path / "token").write_text("hf_secret")
    saved = hub.token()
    assert "is not used" in saved.found
    assert "secret" not in str(saved.as_dict())


def test_the_endpoint_is_the_configured_one_without_its_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.setenv("SERVER_KEY", "sk-secret")
    wanted = {"base_url": "http://me:pw@localhost:8000/v1", "api_key_env": "SERVER_KEY"}
    row = hub.endpoint(QWEN.generate.model_copy(update=wanted))
    assert (row.found, row.verdict) == ("localhost:8000, a key in SERVER_KEY", "ok")
    offline = QWEN.generate.model_copy(update={"provider": "composer"})
    assert hub.endpoint(offline).verdict == "not applicable"


def logind(root: Path, setting: str, drop_in: str = "") -> Path:
    """A system with systemd and these lines in logind.conf and in a drop-in."""
    (root / "run/systemd/system").mkdir(parents=True)
    folder = root / "etc/systemd/logind.conf.d"
    folder.mkdir(parents=True)
    (root / "etc/systemd/logind.conf").write_text(f"[Login]\n{setting}\n")
    (folder / "50.conf").write_text(f"[Login]\n{drop_in}\n")
    return root


def test_kill_user_processes_is_a_warning_with_the_way_out(tmp_path: Path) -> None:
    root = logind(tmp_path, "KillUserProcesses=yes")
    found = terminal.outlives_logout(root)
    assert found.verdict == "warning"
    assert "loginctl enable-linger" in found.do
    linger = root / "var/lib/systemd/linger"
    linger.mkdir(parents=True)
    (linger / terminal.getpass.getuser()).touch()
    assert terminal.outlives_logout(root).verdict == "ok"


def test_drop_ins_and_built_in_defaults_of_logind_count(tmp_path: Path) -> None:
    default = logind(tmp_path / "a", "#KillUserProcesses=yes")
    assert terminal.outlives_logout(default).verdict == "warning"
    overruled = logind(tmp_path / "b", "KillUserProcesses=yes", "KillUserProcesses=no")
    assert terminal.outlives_logout(overruled).verdict == "ok"
    assert terminal.outlives_logout(tmp_path / "no-systemd").verdict == "not applicable"


def test_the_checks_and_the_monitor_import_no_heavy_library() -> None:
    code = (
        "import sys, pathlib\n"
        "from haruon_tui.hardware import checks, monitor, stage\n"
        "from haruon_tui.settings import default_settings\n"
        "checks.check_machine(default_settings('tiny'), pathlib.Path('.'))\n"
        "monitor.Monitor().sample()\n"
        "heavy = {'torch', 'transformers', 'trl', 'peft', 'datasets', 'llama_cpp', 'numpy'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


ABSENT = """
import importlib.abc, sys
class Absent(importlib.abc.MetaPathFinder):
    names = {"textual", "trl", "datasets", "llama_cpp", "GPUtil", "gguf", "platformdirs",
             "tomlkit", "openai", "kiwipiepy", "bitsandbytes", "textual_plot"}
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.names:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
"""


def test_checks_and_self_test_need_neither_the_screens_nor_the_training_libraries(
    tmp_path: Path,
) -> None:
    code = ABSENT + (
        "import os, pathlib; os.environ['HARUON_CACHE_DIR'] = sys.argv[1]\n"
        "from bench import gpu_checks\n"
        "from haruon_tui.hardware import self_test\n"
        "from haruon_tui.jobs.context import JobContext\n"
        "from haruon_tui.hardware.examination import examine\n"
        "from haruon_tui.settings import default_settings\n"
        "found = examine(default_settings('tiny'), pathlib.Path(sys.argv[1])).as_dict()\n"
        "assert len(found['rows']) > 20 and found['memory'], found\n"
        "assert gpu_checks._readings()['milliseconds_a_look'] >= 0\n"
        "params = self_test.Params(seconds=0.01, array_bytes=1 << 20, disk_bytes=1 << 20)\n"
        "result = self_test.run(params, JobContext.local(pathlib.Path(sys.argv[1]) / 'run'))\n"
        "assert all(one.value for one in result.measured), result\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)


def test_failures_are_described_in_one_line() -> None:
    rows = [
        Row("a", "A", "1", "2", "fails", "buy"),
        Row("b", "B", "3", "3", "ok"),
    ]
    assert checks.describe_failures(rows) == "A: 1 (needed: 2)"
