from pathlib import Path

import pytest

from haruon_tui.hardware.cgroup import Limits, limits

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
