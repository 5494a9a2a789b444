"""A job waits for its GPU's memory, says for what and who holds it, and can be stopped."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from haruon_tui.errors import Stopped
from haruon_tui.hardware import gpu_wait
from haruon_tui.jobs.context import JobContext
from haruon_tui.jobs.events import EventReader, EventWriter

GIB = 1 << 30


@pytest.fixture
def machine(
    nvidia_smi: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str, str], None]:
    """A machine whose GPU 1 has so many MiB in use, by these processes; the values change."""
    monkeypatch.setattr(gpu_wait, "POLL_SECONDS", 0.01)
    gpu, holders = tmp_path / "gpu", tmp_path / "holders"
    nvidia_smi(f'case "$*" in *compute-apps*) cat {holders};; *) cat {gpu};; esac')

    def set_to(used: str, held: str) -> None:
        free = str(24564 - int(used)) if used.isdigit() else used
        for file, text in (
            (holders, held),
            (gpu, f"1, GPU-b, 50, 24564, {used}, {free}, 550.54, NVIDIA L4, 0, Off, Off, 40\n"),
        ):
            file.with_suffix(".new").write_text(text)
            file.with_suffix(".new").rename(file)

    return set_to


@pytest.fixture
def job(tmp_path: Path) -> JobContext:
    folder = tmp_path / "ws" / "runs" / "one"
    folder.mkdir(parents=True)
    writer = EventWriter(folder / "events.jsonl", attempt=1)
    return JobContext(folder, writer, devices=("gpu1",))


def said(job: JobContext) -> list[str]:
    return [
        e["text"] for e in EventReader(job.folder / "events.jsonl").read() if e["kind"] == "log"
    ]


def waiting(job: JobContext, needed: int) -> threading.Thread:
    """The wait, in a thread; it is waiting when this returns."""
    before = len(said(job))
    thread = threading.Thread(target=gpu_wait.wait_for_memory, args=(job, needed), daemon=True)
    thread.start()
    while len(said(job)) == before:
        assert thread.is_alive()
        thread.join(0.02)
    return thread


def test_it_waits_until_enough_is_free_and_names_who_holds_it(machine: Any, job: Any) -> None:
    machine("23800", "GPU-b, 99994242, 23000, /usr/bin/python3\nGPU-a, 5, 1, other-gpu\n")
    thread = waiting(job, 8 * GIB)
    assert said(job) == [
        "waits until GPU 1 (NVIDIA L4) has 8.0 GiB free: 0.7 GiB now; "
        "held by pid 99994242 python3 22.5 GiB"
    ]
    machine("300", "")
    thread.join(10)
    assert not thread.is_alive()
    assert said(job)[-1] == "GPU 1 has 23.7 GiB free now"
    progress = [
        e for e in EventReader(job.folder / "events.jsonl").read() if e["kind"] == "progress"
    ]
    assert progress[0]["phase"] == "waiting for GPU memory"


def test_a_stop_ends_the_wait(machine: Any, job: Any) -> None:
    machine("23800", "")
    ended: list[str] = []

    def wait() -> None:
        try:
            gpu_wait.wait_for_memory(job, 8 * GIB)
        except Stopped:
            ended.append("stopped")

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    while not said(job):
        thread.join(0.02)
    job.stop.set()
    thread.join(10)
    assert ended == ["stopped"]


def test_the_setting_ends_a_wait_that_is_under_way(machine: Any, job: Any) -> None:
    machine("23800", "")
    file = job.folder.parent.parent / "haruon.toml"
    file.write_text('profile = "tiny"\n')
    thread = waiting(job, 8 * GIB)
    file.write_text('profile = "tiny"\n[hardware]\nwait_for_memory = false\n')
    thread.join(10)
    assert not thread.is_alive()
    assert "hardware.wait_for_memory is false" in said(job)[-1]


@pytest.mark.parametrize(
    ("used", "needed", "word"), [("300", 90 * GIB, "out of memory"), ("[N/A]", 1, "unknown")]
)
def test_it_does_not_wait_for_what_cannot_come_or_be_known(
    machine: Any, job: Any, used: str, needed: int, word: str
) -> None:
    machine(used, "")
    gpu_wait.wait_for_memory(job, needed)
    assert word in said(job)[0]


def test_a_job_without_a_gpu_or_told_not_to_wait_goes_on_at_once(
    machine: Any, job: Any, tmp_path: Path
) -> None:
    machine("23800", "")
    job.wait_for_memory = False
    gpu_wait.wait_for_memory(job, 8 * GIB)
    gpu_wait.wait_for_memory(JobContext.local(tmp_path / "local"), 8 * GIB)
    assert said(job) == []
