import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from haruon_tui.hardware import cgroup
from haruon_tui.hardware.cgroup import Limits, limits
from haruon_tui.hardware.checks import check_machine
from haruon_tui.hardware.memory_plan import plan_memory
from haruon_tui.hardware.monitor import Monitor
from haruon_tui.settings import build, default_settings

GIB = 1 << 30


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def membership(folder: Path, text: str) -> Path:
    write(folder / "proc-self-cgroup", text)
    return folder / "proc-self-cgroup"


def test_version_2_limits_of_the_own_group_are_found(tmp_path: Path) -> None:
    group = tmp_path / "user.slice/job.scope"
    write(group / "cpu.max", "150000 100000\n")
    write(group / "memory.max", f"{4 * GIB}\n")
    write(group / "memory.current", f"{3 * GIB}\n")
    write(group / "memory.stat", f"anon 1\ninactive_file {GIB}\n")

    found = limits(tmp_path, membership(tmp_path, "0::/user.slice/job.scope\n"))

    assert (found.cores, found.memory) == (1.5, 4 * GIB)
    assert found.memory_used() == 2 * GIB


def test_the_tightest_limit_above_the_own_group_counts(tmp_path: Path) -> None:
    write(tmp_path / "outer/cpu.max", "100000 100000")
    write(tmp_path / "outer/memory.max", str(2 * GIB))
    write(tmp_path / "outer/inner/cpu.max", "max 100000")
    write(tmp_path / "outer/inner/memory.max", str(8 * GIB))

    found = limits(tmp_path, membership(tmp_path, "0::/outer/inner"))

    assert (found.cores, found.memory) == (1.0, 2 * GIB)


def test_version_1_limits_are_found_in_a_container_that_hides_its_path(tmp_path: Path) -> None:
    write(tmp_path / "memory/memory.limit_in_bytes", str(4 * GIB))
    write(tmp_path / "memory/memory.usage_in_bytes", str(GIB))
    write(tmp_path / "cpu,cpuacct/cpu.cfs_quota_us", "200000")
    write(tmp_path / "cpu,cpuacct/cpu.cfs_period_us", "100000")

    found = limits(tmp_path, membership(tmp_path, "4:memory:/docker/1\n1:cpu,cpuacct:/docker/1\n"))

    assert (found.cores, found.memory) == (2.0, 4 * GIB)
    assert found.memory_used() == GIB


@pytest.mark.parametrize(
    ("cpu", "memory"),
    [("max 100000", "max"), ("", ""), ("-1 0", "9223372036854771712"), ("rubbish", "rubbish")],
)
def test_no_limit_and_rubbish_mean_no_limit(tmp_path: Path, cpu: str, memory: str) -> None:
    write(tmp_path / "cpu.max", cpu)
    write(tmp_path / "memory.max", memory)
    assert limits(tmp_path, tmp_path / "missing") == Limits()


def version_2(root: Path) -> str:
    write(root / "box/cpu.max", "100000 100000\n")
    write(root / "box/memory.max", f"{4 * GIB}\n")
    write(root / "box/memory.swap.max", "0\n")
    write(root / "box/memory.current", f"{GIB}\n")
    return "0::/box\n"


def version_1(root: Path) -> str:
    write(root / "cpu,cpuacct/box/cpu.cfs_quota_us", "100000\n")
    write(root / "cpu,cpuacct/box/cpu.cfs_period_us", "100000\n")
    write(root / "memory/box/memory.limit_in_bytes", f"{4 * GIB}\n")
    write(root / "memory/box/memory.usage_in_bytes", f"{GIB}\n")
    return "5:cpu,cpuacct:/box\n4:memory:/box\n0::/\n"


@pytest.mark.parametrize("files", [version_2, version_1])
def test_the_checks_the_estimate_and_the_monitor_report_the_limits_of_a_container(
    no_gpu: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    files: Callable[[Path], str],
) -> None:
    root = tmp_path / "cgroup"
    inside = limits(root, membership(tmp_path, files(root)))
    monkeypatch.setattr(cgroup, "limits", lambda: inside)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(64)))
    rows = {row.key: row for row in check_machine(default_settings("qwen2-1.5b"), tmp_path)}
    assert "1 usable core of 64 (cgroup quota 1)" in rows["cpu"].found
    assert rows["cpu"].verdict == "warning"
    assert rows["ram"].found.startswith("4.0 GiB (cgroup limit; the host has ")
    assert rows["ram"].verdict == "fails"
    plan = plan_memory(default_settings("tiny"))
    assert plan is not None
    assert (plan.free, plan.total) == (3 * GIB, 4 * GIB)
    assert Monitor().sample().memory_total == 4 * GIB


def test_a_training_on_the_cpu_must_fit_into_the_limit(
    no_gpu: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = limits(tmp_path, membership(tmp_path, version_2(tmp_path)))
    monkeypatch.setattr(cgroup, "limits", lambda: inside)
    large = {"profile": "tiny", "train": {"batch_size": 512}}
    row = {row.key: row for row in check_machine(build(large), tmp_path)}["ram"]
    assert row.verdict == "fails"
    assert "batch 512 x 512 tokens" in row.needed
    changes = {line.partition(" = ")[0]: line.partition(" = ")[2] for line in row.settings}
    train = {key.removeprefix("train."): json.loads(text) for key, text in changes.items()}
    fitting = build(large | {"train": {"batch_size": 512} | train})
    row = {row.key: row for row in check_machine(fitting, tmp_path)}["ram"]
    assert row.verdict == "ok"


@pytest.fixture
def real_group() -> Iterator[list[Path]]:
    """Control groups of version 1 or 2 with 1 CPU and 4 GiB; the files that let a process in."""
    name = f"haruon-test-{os.getpid()}"
    old = (cgroup.ROOT / "cpu").is_dir()
    folders = [cgroup.ROOT / kind / name for kind in (("cpu", "memory") if old else ("",))]
    settings = (
        ("cpu.cfs_quota_us", "100000"), ("memory.limit_in_bytes", str(4 * GIB)),
        ("cpu.max", "100000 100000"), ("memory.max", str(4 * GIB)),
    )  # fmt: skip
    made = []
    try:
        for folder in folders:
            folder.mkdir()
            made.append(folder)
        for folder in folders:
            for file, value in settings:
                if (folder / file).exists():
                    (folder / file).write_text(value)
        yield [folder / "cgroup.procs" for folder in folders]
    except OSError as error:
        pytest.skip(f"control groups cannot be made here: {error}")
    finally:
        for folder in made:
            folder.rmdir()


def test_the_doctor_reports_real_limits(real_group: list[Path], tmp_path: Path) -> None:
    enter = "".join(f"echo $$ > {file} && " for file in real_group)
    command = f"{enter} exec {sys.executable} -m haruon_tui doctor --json"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, cwd=tmp_path)
    if done.returncode not in (0, 1):
        pytest.skip(f"no process may enter a control group here: {done.stderr}")
    rows = {row["key"]: row for row in json.loads(done.stdout)["rows"]}
    assert "1 usable core of" in rows["cpu"]["found"]
    assert rows["ram"]["found"].startswith("4.0 GiB (cgroup limit; ")
