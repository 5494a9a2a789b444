"""Every kind of adapter trains and merges; the labels that are shown are those that are learned;
a fused linear computes what PEFT's does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from bench import merge
from haruon_tui.training import label_view, setup
from haruon_tui.training.batches import Order, collate
from haruon_tui.training.examples import IGNORED
from haruon_tui.training.fused_lora import FusedLora, cast_together, fuse
from haruon_tui.training.loss import labelled_loss
from haruon_tui.training.short_attention import NAME, use_short_attention


@pytest.mark.parametrize("kind", ["lora", "dora", "rslora"])
def test_merged_says_what_base_and_adapter_say(
    tmp_path: Path, small_base: Path, kind: str
) -> None:
    found = merge.of_kind(kind, small_base, tmp_path / kind)
    assert found["last_loss"] < found["first_loss"]
    assert found["largest_difference"] <= 1e-4, found
    assert found["adapter_moves"] > 1e-2


def test_qlora_merged_into_a_bf16_base_differs_by_rounding_alone(
    tmp_path: Path, small_base: Path
) -> None:
    found = merge.of_kind("qlora", small_base, tmp_path / "qlora")
    assert found["last_loss"] < found["first_loss"]
    assert found["kl_to_base_and_adapter"] < 1e-3, found
    assert found["kl_to_base_and_adapter"] < found["kl_to_4_bit"] < 0.1, found


@pytest.fixture
def adapted(small_base: Path) -> Any:
    from peft import get_peft_model

    wanted = setup_values()
    torch.manual_seed(1)
    base = AutoModelForCausalLM.from_pretrained(small_base, dtype=torch.float32)
    model = get_peft_model(base, setup.adapter(wanted))
    for name, one in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(one, std=0.05)
    return model


def setup_values() -> Any:
    from haruon_tui.settings import default_settings

    changes = {"rank": 4, "alpha": 8, "dropout": 0.0}
    return default_settings("tiny").train.model_copy(update=changes)


def a_batch() -> dict[str, Any]:
    rows = [
        {"input_ids": list(range(10, 10 + n)), "labels": [IGNORED] * 4 + list(range(14, 10 + n))}
        for n in (9, 14)
    ]
    return collate(rows, padding=0)


def test_fused_linears_and_loss_give_the_gradients_of_peft_and_transformers(adapted: Any) -> None:
    batch = a_batch()
    plain = adapted(
        input_ids=batch["input_ids"],
        attention_mask=batch["attention_mask"],
        labels=batch["labels"],
    ).loss
    plain.backward()
    expected = {n: p.grad.clone() for n, p in adapted.named_parameters() if p.requires_grad}
    adapted.zero_grad()
    linears = fuse(adapted)
    assert len(linears) == 14
    assert any(isinstance(one, FusedLora) for one in adapted.modules())
    causal = adapted.get_base_model()
    total = labelled_loss(causal, batch["input_ids"], batch["places"], batch["targets"])
    loss = total / len(batch["targets"])
    loss.backward()
    assert loss.item() == pytest.approx(plain.item(), rel=1e-5)
    fused = {n: p.grad.clone() for n, p in adapted.named_parameters() if p.requires_grad}
    for name, gradient in fused.items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-3, atol=1e-6)
    adapted.zero_grad()
    with cast_together(linears):
        assert all(one.cast for one in linears)
        total = labelled_loss(causal, batch["input_ids"], batch["places"], batch["targets"])
    (total / len(batch["targets"])).backward()
    assert not any(one.cast for one in linears)
    for name, one in adapted.named_parameters():
        assert one.grad is None or torch.equal(one.grad, fused[name])


def test_a_batch_padded_further_has_the_same_loss(adapted: Any) -> None:
    rows = [
        {"input_ids": list(range(10, 10 + n)), "labels": list(range(10, 10 + n))} for n in (5, 9)
    ]
    short, long = (collate(rows, padding=0, step=step) for step in (1, 16))
    assert (short["input_ids"].shape[1], long["input_ids"].shape[1]) == (9, 16)
    losses = [
        labelled_loss(
            adapted.get_base_model(), batch["input_ids"], batch["places"], batch["targets"]
        ).item()
        for batch in (short, long)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_short_attention_reads_what_torchs_kernel_reads(small_base: Path) -> None:
    batch = a_batch()
    answers = []
    for short in (False, True):
        model = AutoModelForCausalLM.from_pretrained(small_base, dtype=torch.bfloat16)
        if short:
            assert use_short_attention(model)
            assert model.config._attn_implementation == NAME
        answers.append(model(input_ids=batch["input_ids"]).logits.float())
    assert (answers[0] - answers[1]).abs().max() < 0.1
    assert merge.divergence(*(one.flatten(0, 1) for one in answers)) < 1e-3


def test_an_order_takes_every_example_once_and_the_same_way_each_time() -> None:
    lengths = [5 + (7 * at) % 40 for at in range(50)]
    for grouped in (False, True):
        first, again = (list(Order(lengths, 4, 3, grouped=grouped)) for _ in range(2))
        assert first == again
        assert sorted(first) == list(range(50))
    spread = [
        sum(
            max(lengths[i] for i in order[at : at + 4])
            - min(lengths[i] for i in order[at : at + 4])
            for at in range(0, 48, 4)
        )
        for order in (list(Order(lengths, 4, 3, grouped=grouped)) for grouped in (False, True))
    ]
    assert spread[1] < spread[0] / 2


def test_what_is_shown_as_learned_is_the_answer_and_its_end_as_it_reaches_the_model(
    tmp_path: Path, small_base: Path, dataset: Any
) -> None:
    from haruon_tui.dataset import records

    wanted = setup_values()
    view = label_view.look(small_base, dataset.train, wanted, tmp_path / "a")
    answer = next(iter(records.read(dataset.train))).record["messages"][-1]["content"]
    assert [text for text, learned in view.pieces if learned] == [f"{answer}<|im_end|>"]
    assert view.ends == "<|im_end|>"
    assert view.records == 24
    longest = view.lengths[2]
    cut = wanted.model_copy(update={"max_length": longest - 1})
    assert label_view.look(small_base, dataset.train, cut, tmp_path / "b").too_long >= 1

    batch = next(batch for batch in first_batches(tmp_path, small_base, dataset))
    tokenizer = AutoTokenizer.from_pretrained(small_base)
    reached = [
        tokenizer.decode([token for token in row.tolist() if token != IGNORED])
        for row in batch["labels"]
    ]
    whole = "".join(text for text, _ in view.pieces)
    given = [
        tokenizer.decode(ids[mask.bool()].tolist())
        for ids, mask in zip(batch["input_ids"], batch["attention_mask"], strict=True)
    ]
    assert reached[given.index(whole)] == f"{answer}<|im_end|>"


def first_batches(folder: Path, base: Path, dataset: Any) -> Any:
    """What the real trainer's data loader yields: all examples in one batch."""
    from haruon_tui.jobs.context import JobContext
    from haruon_tui.training import examples, stage
    from haruon_tui.training.checkpoints import Checkpoints, Progress

    wanted = setup_values().model_copy(update={"batch_size": 24, "max_length": 4096})
    job = JobContext.local(folder / "job")
    tokenizer = AutoTokenizer.from_pretrained(base)
    loaded = examples.load(dataset.train, tokenizer, wanted.loss_on, wanted.max_length, job)
    params = stage.Params(
        model=base, train_file=dataset.train, eval_file=dataset.eval, settings=wanted
    )
    trainer = stage._trainer(
        params, job, tokenizer, loaded, examples.Examples(), Checkpoints(folder / "c"), Progress()
    )
    return trainer.get_train_dataloader()


def test_a_look_at_what_is_not_there_says_so(tmp_path: Path, small_base: Path) -> None:
    from haruon_tui.errors import HaruonError

    (tmp_path / "empty.jsonl").write_text("")
    with pytest.raises(HaruonError, match="no record to look at"):
        label_view.ask(small_base, tmp_path / "empty.jsonl", setup_values())
