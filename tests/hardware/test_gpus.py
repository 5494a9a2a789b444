import time
from types import SimpleNamespace
from typing import Any

import pytest

from haruon_tui.hardware import nvidia_smi as smi
from haruon_tui.hardware import nvml
from haruon_tui.hardware.gpus import Gpu, GpuProcess, Reading, read_gpus, read_processes

MIB = 1 << 20

TWO_GPUS = """
echo "0, GPU-a, 97, 24564, 23800, 764, 550.54, NVIDIA RTX 4090, [N/A], Disabled, Disabled, 71"
echo "1, GPU-b, [N/A], [N/A], [N/A], [N/A], 550.54, NVIDIA GB10, [N/A], Disabled, Disabled, 40"
"""


def test_gputil_reads_a_recorded_nvidia_smi_and_leaves_n_a_open(nvidia_smi: Any) -> None:
    nvidia_smi(TWO_GPUS)
    assert read_gpus() == Reading(
        [
            Gpu(
                0,
                "NVIDIA RTX 4090",
                24564 * MIB,
                23800 * MIB,
                97.0,
                "550.54",
                "GPU-a",
                temperature=71.0,
            ),
            Gpu(1, "NVIDIA GB10", driver="550.54", uuid="GPU-b", temperature=40.0),
        ]
    )


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("echo garbage", "unreadable"),
        ("echo 0, GPU-a", "unreadable"),
        (r"printf '\377\376\n'", "unreadable"),
        ("echo 'NVIDIA-SMI has failed because it could not reach the driver.'", "unreadable"),
        ("true", "no GPU"),
        ("exit 9", "no GPU"),
    ],
)
def test_garbage_from_nvidia_smi_is_a_problem_and_no_crash(
    nvidia_smi: Any, script: str, problem: str
) -> None:
    nvidia_smi(script)
    reading = read_gpus()
    assert reading.gpus == []
    assert problem in (reading.problem or "")


def test_a_hanging_nvidia_smi_is_given_up_and_ended(
    nvidia_smi: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smi, "SECONDS", 0.2)
    nvidia_smi("exec sleep 30")
    started = time.monotonic()
    assert "did not answer" in (read_gpus().problem or "")
    assert time.monotonic() - started < 3.0


def test_complaints_of_nvidia_smi_do_not_reach_the_screen(
    nvidia_smi: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    nvidia_smi("echo 'broken driver' >&2; exit 1")
    read_gpus()
    assert capfd.readouterr() == ("", "")


def test_no_driver_means_no_gpu_and_no_problem(no_gpu: None) -> None:
    assert read_gpus() == Reading([], None)


class Library:
    """What pynvml answers for a card that does not tell its utilisation."""

    def nvmlSystemGetDriverVersion(self) -> bytes:
        return b"570.1"

    def nvmlDeviceGetCount(self) -> int:
        return 1

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return index

    def nvmlDeviceGetName(self, handle: int) -> str:
        return "NVIDIA H200"

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> Any:
        return SimpleNamespace(total=140 << 30, used=1 << 30)

    def nvmlDeviceGetUtilizationRates(self, handle: int) -> Any:
        raise RuntimeError("not supported")


def use(library: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvml.LIBRARY, "_tried", True)
    monkeypatch.setattr(nvml.LIBRARY, "_library", library)


def test_nvml_is_asked_first_and_may_lack_a_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    use(Library(), monkeypatch)
    assert read_gpus().gpus == [Gpu(0, "NVIDIA H200", 140 << 30, 1 << 30, None, "570.1")]


def test_a_driver_that_fails_later_is_a_problem_and_no_crash(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Lost(Library):
        def nvmlDeviceGetCount(self) -> int:
            raise RuntimeError("GPU is lost")

    use(Lost(), monkeypatch)
    assert read_gpus() == Reading(problem="NVML: GPU is lost")


ANSWERS = f"""
case "$1" in
*compute_cap*)
    echo "0, 312.5, 450.00, 2520, 10501, 8.9, 0x0000000000000004"
    echo "1, [N/A], [N/A], [N/A], [N/A], [N/A], [N/A]" ;;
*compute-apps*)
    echo "GPU-a, 1, 23000, /usr/bin/python, -m train"
    echo "GPU-a, 4000000, [N/A], /opt/other" ;;
*) {TWO_GPUS} ;;
esac
"""


def test_details_and_holders_of_memory_come_from_nvidia_smi(nvidia_smi: Any) -> None:
    nvidia_smi(ANSWERS)
    first, second = read_gpus(detail=True).gpus
    assert (first.power, first.power_limit, first.clock, first.memory_clock) == (
        312.5,
        450.0,
        2520.0,
        10501.0,
    )
    assert first.compute_capability == (8, 9)
    assert first.throttle == ("power cap",)
    assert (second.power, second.compute_capability, second.throttle) == (None, None, None)
    holders = read_processes([first, second]) or []
    assert [(held.gpu_index, held.pid, held.memory) for held in holders] == [
        (0, 1, 23000 * MIB),
        (0, 4000000, None),
    ]
    assert holders[0].user  # pid 1 is on every machine
    assert holders[1] == GpuProcess(0, 4000000, None, None, "other")


def test_holders_are_unknown_when_nvidia_smi_does_not_tell(nvidia_smi: Any) -> None:
    nvidia_smi(f'case "$1" in *compute-apps*) exit 6 ;; *) {TWO_GPUS} ;; esac')
    assert read_processes(read_gpus().gpus) is None
