"""How many threads torch gets, and in which precision it computes."""

from __future__ import annotations

import os

import pytest
import torch

from haruon_tui.hardware import cgroup
from haruon_tui.model import compute


@pytest.fixture(autouse=True)
def threads_as_before() -> object:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_a_quota_of_half_a_core_gives_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroup, "limits", lambda: cgroup.Limits(cores=0.5))
    assert compute.use_allowed_cores() == 1
    assert torch.get_num_threads() == 1


def test_without_a_quota_the_affinity_mask_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroup, "limits", cgroup.Limits)
    assert compute.use_allowed_cores() == len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("asked", "given"),
    [("bf16", torch.bfloat16), ("fp32", torch.float32)],
)
def test_a_precision_that_is_asked_for_is_given(
    asked: compute.Precision, given: torch.dtype
) -> None:
    assert compute.dtype(asked) == given


@pytest.mark.parametrize(
    ("avx512", "amx", "given"),
    [(True, False, torch.bfloat16), (False, True, torch.bfloat16), (False, False, torch.float32)],
)
def test_a_cpu_computes_in_bf16_only_where_it_multiplies_bf16(
    monkeypatch: pytest.MonkeyPatch, avx512: bool, amx: bool, given: torch.dtype
) -> None:
    monkeypatch.setattr(compute, "device", lambda: "cpu")
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    assert compute.dtype("auto") == given


def test_fp16_is_given_by_a_gpu_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compute, "device", lambda: "cpu")
    assert compute.dtype("fp16") == torch.float32
    monkeypatch.setattr(compute, "device", lambda: "cuda")
    assert compute.dtype("fp16") == torch.float16
