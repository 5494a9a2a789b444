"""Sample answers while training: written as events, and nothing else is another for it."""

from __future__ import annotations

import pytest

from tests.training.conftest import Training


@pytest.fixture(scope="module")
def sampled(tmp_path_factory, small_base, dataset):
    training = Training(tmp_path_factory.mktemp("sampled") / "run", small_base, dataset)
    return training, training.run(sample_every=2, sample_tokens=6)


def test_every_so_many_steps_the_fixed_prompts_are_answered(sampled):
    training, result = sampled
    samples = [event for event in training.events() if event["kind"] == "sample"]
    steps = sorted({event["step"] for event in samples})
    assert steps == sorted({*range(0, result.steps, 2), result.steps})
    asked = [[e["prompt"] for e in samples if e["step"] == step] for step in steps]
    assert len(asked[0]) == 2
    assert all(prompts == asked[0] for prompts in asked)
    assert any(event["text"] for event in samples)


def test_the_training_is_to_the_bit_the_same_without_samples(
    sampled, tmp_path, small_base, dataset
):
    training, result = sampled
    plain = Training(tmp_path / "run", small_base, dataset)
    other = plain.run(sample_every=0)
    assert not [event for event in plain.events() if event["kind"] == "sample"]
    assert plain.curve("loss") == training.curve("loss")
    assert other.final_loss == result.final_loss
    weights = "adapter_model.safetensors"
    assert (plain.adapter / weights).read_bytes() == (training.adapter / weights).read_bytes()
