from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from haruon_tui.errors import ConfigurationError
from haruon_tui.hardware import accelerator, cgroup, checks, system, terminal
from haruon_tui.hardware.checks import Row, check_machine
from haruon_tui.hardware.needs import NEEDS, Amount

GIB = 1 << 30


def row(rows: list[Row], key: str) -> Row:
    return next(one for one in rows if one.key == key)


def test_a_machine_without_gpu_passes_for_tiny(no_gpu: None, tmp_path: Path) -> None:
    rows = check_machine("tiny", tmp_path)
    assert row(rows, "gpu").verdict == "not applicable"
    assert [one.key for one in rows if one.verdict == "fails"] == []


def test_a_machine_without_gpu_fails_for_qwen2_and_says_what_to_do(
    no_gpu: None, tmp_path: Path
) -> None:
    gpu = row(check_machine("qwen2-1.5b", tmp_path), "gpu")
    assert gpu.verdict == "fails"
    assert 'profile = "tiny"' in gpu.do
    assert "16 GiB" in gpu.needed


def test_every_row_that_is_not_good_says_what_to_do(no_gpu: None, tmp_path: Path) -> None:
    for profile in NEEDS:
        for one in check_machine(profile, tmp_path):
            assert bool(one.do) == (one.verdict in ("warning", "fails")), one


@pytest.mark.parametrize(
    ("total", "used", "verdict"),
    [(24564, 500, "ok"), (8192, 500, "warning"), (4096, 0, "fails"), (24564, 23800, "warning")],
)
def test_the_video_memory_decides(
    nvidia_smi: Any, tmp_path: Path, total: int, used: int, verdict: str
) -> None:
    nvidia_smi(f'echo "0, GPU-a, 0, {total}, {used}, 0, 550.54, NVIDIA X, 0, No, No, 40"')
    found = row(check_machine("qwen2-1.5b", tmp_path), "gpu")
    assert found.verdict == verdict
    assert "NVIDIA X" in found.found
    assert "driver 550.54" in found.found


def test_garbage_from_nvidia_smi_makes_only_its_own_row_unknown(
    nvidia_smi: Any, tmp_path: Path
) -> None:
    nvidia_smi("echo garbage")
    rows = check_machine("tiny", tmp_path)
    assert row(rows, "gpu").found.startswith("unknown")
    assert row(rows, "ram").verdict == "ok"


def test_a_check_that_raises_hides_no_other_row(
    no_gpu: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(path: Path) -> Any:
        raise RuntimeError("odd machine")

    monkeypatch.setattr(system.shutil, "disk_usage", broken)
    rows = check_machine("tiny", tmp_path)
    assert row(rows, "disk").found == "unknown: RuntimeError: odd machine"
    assert row(rows, "write").verdict == "ok"


def test_an_unknown_profile_is_named() -> None:
    with pytest.raises(ConfigurationError, match="huge"):
        check_machine("huge", Path())


def test_a_container_sees_its_own_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroup, "limits", lambda: cgroup.Limits(cores=1.0, memory=GIB))
    memory = system.memory(Amount(2, 4))
    assert (memory.verdict, "1.0 GiB (cgroup limit" in memory.found) == ("fails", True)
    processor = system.processor()
    assert processor.verdict == "warning"
    assert "1 usable core " in processor.found


def test_a_folder_that_cannot_be_written_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert system.write_permission(tmp_path / "not/there/yet").verdict == "ok"
    assert list(tmp_path.iterdir()) == []

    def refuse(dir: Path) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(system.tempfile, "TemporaryFile", refuse)
    refused = system.write_permission(tmp_path)
    assert (refused.verdict, "Permission denied" in refused.found) == ("fails", True)


def test_a_cpu_build_of_torch_fails_where_a_gpu_is_needed(
    no_gpu: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accelerator, "_torch_cuda", lambda: None)
    monkeypatch.setattr(accelerator, "_apple_silicon", lambda: False)
    assert accelerator.torch_build(needs_gpu=True).verdict == "fails"
    assert accelerator.torch_build(needs_gpu=False).verdict == "ok"
    monkeypatch.setattr(accelerator, "_torch_cuda", lambda: "13.0")
    assert accelerator.torch_build(needs_gpu=True).verdict == "ok"


@pytest.mark.parametrize(
    ("text", "built"),
    [
        ("cuda: Optional[str] = '12.8'\nhip: Optional[str] = None\n", "12.8"),
        ("cuda: Optional[str] = None\nhip: Optional[str] = '6.2'\n", "6.2"),
        ("cuda: Optional[str] = None\nhip = None\n", None),
    ],
)
def test_what_torch_was_built_for_is_read_from_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, built: str | None
) -> None:
    (tmp_path / "version.py").write_text(text)

    class Distribution:
        def locate_file(self, name: str) -> Path:
            return tmp_path / "version.py"

    monkeypatch.setattr(
        accelerator.importlib.metadata, "distribution", lambda name: Distribution()
    )
    assert accelerator._torch_cuda() == built


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
        "checks.check_machine('tiny', pathlib.Path('.')); monitor.Monitor().sample()\n"
        "heavy = {'torch', 'transformers', 'trl', 'peft', 'datasets', 'llama_cpp', 'numpy'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_failures_are_described_in_one_line() -> None:
    rows = [
        Row("a", "A", "1", "2", "fails", "buy"),
        Row("b", "B", "3", "3", "ok"),
    ]
    assert checks.describe_failures(rows) == "A: 1 (needed: 2)"
