"""Which GPU a job takes, on a recorded machine with two GPUs of which one is nearly full."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from haruon_tui.errors import ConfigurationError
from haruon_tui.hardware.gpu_state import read_gpu_states
from haruon_tui.jobs import tickets
from haruon_tui.jobs.devices import devices_for, see_only, visible_gpus
from haruon_tui.settings import HardwareSettings

AUTO = HardwareSettings()
NEARLY_FULL_AND_EMPTY = """
case "$*" in
*compute-apps*)
    echo "GPU-aa, 99994242, 23000, /usr/bin/python3"
    echo "GPU-aa, 99990077, [N/A], /opt/서버" ;;
*)
    echo "0, GPU-aa, 97, 24564, 23800, 764, 550.54, NVIDIA RTX 4090, 0, Off, Off, 71"
    echo "1, GPU-bb, [N/A], 24564, 300, 24264, 550.54, NVIDIA RTX 4090, 0, Off, Off, 40"
    echo "2, GPU-cc, [N/A], [N/A], [N/A], [N/A], 550.54, NVIDIA GB10, 0, Off, Off, 40" ;;
esac
"""


@pytest.fixture(autouse=True)
def all_visible(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("CUDA_DEVICE_ORDER", raising=False)


@pytest.fixture
def recorded(nvidia_smi: Any) -> None:
    nvidia_smi(NEARLY_FULL_AND_EMPTY)


@pytest.mark.usefixtures("recorded")
class TestWithGpus:
    def test_of_equal_queues_the_gpu_with_most_free_memory_is_taken(self) -> None:
        assert devices_for("accelerator", AUTO, {}) == ("gpu1",)

    def test_the_shortest_queue_comes_before_free_memory(self) -> None:
        assert devices_for("accelerator", AUTO, {"gpu1": ["a"], "gpu2": ["b"]}) == ("gpu0",)
        queues = {"gpu0": ["a", "b"], "gpu1": ["c", "d"], "gpu2": ["e"]}
        assert devices_for("accelerator", AUTO, queues) == ("gpu2",)

    def test_only_chosen_gpus_are_taken_and_an_empty_choice_means_the_cpu(self) -> None:
        assert devices_for("accelerator", HardwareSettings(gpus=[0]), {}) == ("gpu0",)
        assert devices_for("accelerator", HardwareSettings(gpus=[0, 2]), {}) == ("gpu0",)
        assert devices_for("accelerator", HardwareSettings(gpus=[]), {}) == ("cpu",)

    def test_several_processes_get_a_gpu_each_or_are_refused(self) -> None:
        assert devices_for("accelerator", AUTO, {"gpu1": ["a"]}, 2) == ("gpu0", "gpu2")
        assert devices_for("accelerator", HardwareSettings(gpus=[]), {}, 2) == ("cpu",)
        with pytest.raises(ConfigurationError, match="4 processes need a GPU each, and 3 may be"):
            devices_for("accelerator", AUTO, {}, 4)

    def test_a_chosen_gpu_that_is_not_there_is_an_error_with_the_key(self) -> None:
        with pytest.raises(ConfigurationError, match="GPU 7 is not there") as caught:
            devices_for("accelerator", HardwareSettings(gpus=[1, 7]), {})
        assert caught.value.where == "hardware.gpus"
        assert "[0, 1, 2]" in str(caught.value.expected)

    @pytest.mark.parametrize(
        ("visible", "taken"),
        [("0", "gpu0"), ("GPU-a", "gpu0"), ("2,0", "gpu0"), ("", "cpu"), ("-1", "cpu")],
    )
    def test_what_the_user_made_visible_is_honoured(
        self, monkeypatch: pytest.MonkeyPatch, visible: str, taken: str
    ) -> None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        assert devices_for("accelerator", AUTO, {}) == (taken,)

    def test_a_chosen_gpu_that_is_hidden_is_an_error(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
        with pytest.raises(ConfigurationError, match="GPU 1 is hidden by CUDA_VISIBLE_DEVICES=0"):
            devices_for("accelerator", HardwareSettings(gpus=[1]), {})

    def test_the_choice_shows_memory_holders_and_queue_with_n_a_where_nothing_is_told(
        self,
    ) -> None:
        with tickets.ticket(("gpu0",), job="train-a"):
            first, second, third = read_gpu_states().gpus
        assert first.lines() == (
            "NVIDIA RTX 4090: 0.7 GiB of 24.0 GiB free, busy 97 %",
            "held by pid 99994242 python3 22.5 GiB, pid 99990077 서버",
            "works for train-a",
        )
        assert second.lines()[0] == "NVIDIA RTX 4090: 23.7 GiB of 24.0 GiB free, busy N/A"
        assert second.lines()[1:] == ("no process holds memory", "no job")
        assert third.lines()[0] == "NVIDIA GB10: N/A of N/A free, busy N/A"


@pytest.mark.parametrize("script", ["echo garbage", "true", "exit 9"])
def test_where_nvidia_smi_says_nonsense_the_users_own_numbers_hold(
    nvidia_smi: Any, script: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    nvidia_smi(script)
    assert devices_for("accelerator", AUTO, {}) == ("cpu",)
    assert devices_for("accelerator", HardwareSettings(gpus=[3]), {}) == ("gpu3",)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2")
    assert devices_for("accelerator", AUTO, {}) == ("gpu2",)


def test_without_a_gpu_jobs_run_on_the_cpu(no_gpu: None) -> None:
    assert devices_for("accelerator", AUTO, {}) == ("cpu",)
    assert visible_gpus([]) == []


def test_a_job_sees_its_own_gpu_in_the_order_of_nvidia_smi(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    see_only(("cpu",), "cpu")
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "0,1"
    see_only(("gpu1",), "accelerator")
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "1"
    assert os.environ["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
    see_only(("cpu",), "accelerator")
    assert os.environ["CUDA_VISIBLE_DEVICES"] == ""


def test_a_dead_jobs_ticket_is_in_no_queue(tmp_path: Path) -> None:
    with tickets.ticket(("gpu1",), job="alive"):
        (tickets.folder() / "000000099.ticket").write_text('{"devices": ["gpu1"], "job": "dead"}')
        assert tickets.queues() == {"gpu1": ["alive"]}
