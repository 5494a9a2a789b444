"""What the loss counts, what is too long, and which chat templates can be trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from haruon_tui.dataset import composer, persona, records
from haruon_tui.errors import ConfigurationError, StageError
from haruon_tui.jobs.context import JobContext
from haruon_tui.training import examples


@pytest.fixture
def tokenizer(small_base: Path) -> Any:
    return AutoTokenizer.from_pretrained(small_base)


@pytest.fixture
def job(tmp_path: Path) -> JobContext:
    return JobContext.local(tmp_path / "job")


def test_the_loss_counts_exactly_the_answer_and_the_token_that_ends_it(
    dataset: Any, tokenizer: Any, job: JobContext
) -> None:
    loaded = examples.load(dataset.train, tokenizer, "assistant", 2048, job)
    assert len(loaded.encoded) == 24
    for encoded, line in zip(loaded.encoded, records.read(dataset.train), strict=True):
        counted = [label for label in encoded["labels"] if label != examples.IGNORED]
        answer = line.record["messages"][-1]["content"]
        assert tokenizer.decode(counted) == f"{answer}<|im_end|>"


def test_the_model_is_trained_on_the_text_that_it_is_later_asked_with(
    dataset: Any, tokenizer: Any, job: JobContext
) -> None:
    loaded = examples.load(dataset.train, tokenizer, "assistant", 2048, job)
    for encoded, line in zip(loaded.encoded, records.read(dataset.train), strict=True):
        prompt = tokenizer.apply_chat_template(
            line.record["messages"][:2], add_generation_prompt=True
        )["input_ids"]
        assert encoded["input_ids"][: len(prompt)] == prompt
        assert set(encoded["labels"][: len(prompt)]) == {examples.IGNORED}


def test_the_loss_can_count_everything(dataset: Any, tokenizer: Any, job: JobContext) -> None:
    loaded = examples.load(dataset.train, tokenizer, "all", 2048, job)
    assert all(encoded["labels"] == encoded["input_ids"] for encoded in loaded.encoded)
    whole = tokenizer.decode(loaded.encoded[0]["input_ids"])
    assert persona.SYSTEM_PROMPT in whole


def test_the_tokenizer_keeps_its_own_template(
    dataset: Any, tokenizer: Any, job: JobContext
) -> None:
    before = tokenizer.chat_template
    examples.load(dataset.train, tokenizer, "assistant", 2048, job)
    assert tokenizer.chat_template == before
    assert examples.GENERATION_MARK not in before


def test_examples_that_are_too_long_are_left_out_whole_and_named(
    tmp_path: Path, tokenizer: Any, job: JobContext
) -> None:
    made = composer.compose(3, seed=1).records
    made[1]["messages"][2]["content"] *= 8
    records.write(tmp_path / "train.jsonl", made)
    loaded = examples.load(tmp_path / "train.jsonl", tokenizer, "assistant", 1024, job)
    assert loaded.too_long == [made[1]["metadata"]["id"]]
    assert loaded.longest > 1024
    assert len(loaded.encoded) == 2


def test_when_all_are_too_long_the_length_that_would_do_is_named(
    dataset: Any, tokenizer: Any, job: JobContext
) -> None:
    with pytest.raises(StageError, match="every example is longer") as caught:
        examples.load(dataset.train, tokenizer, "assistant", 32, job)
    longest = examples.load(dataset.train, tokenizer, "assistant", 2048, job).longest
    assert str(longest) in str(caught.value)


@pytest.mark.parametrize(
    "line",
    [
        "not json",
        '{"messages": null}',
        '{"messages": [{"role": "user", "content": null}]}',
        '{"messages": [{"role": "user", "content": "안녕"}]}',
    ],
)
def test_a_line_that_is_no_record_is_named(
    tmp_path: Path, tokenizer: Any, job: JobContext, line: str
) -> None:
    file = tmp_path / "train.jsonl"
    records.write(file, composer.compose(1, seed=1).records)
    with file.open("a", encoding="utf-8") as stream:
        stream.write(line + "\n")
    with pytest.raises(ConfigurationError) as caught:
        examples.load(file, tokenizer, "assistant", 2048, job)
    assert caught.value.where == f"{file}:2"


def test_a_template_that_marks_the_answer_itself_is_used_as_it_is(tokenizer: Any) -> None:
    tokenizer.chat_template = (
        "{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}{{ m.content }}"
        "{% endgeneration %}{% else %}{{ m.content }}{% endif %}{% endfor %}"
    )
    assert examples.training_template(tokenizer) == tokenizer.chat_template


def test_a_template_that_only_looks_like_qwen2s_is_not_taken_for_it(tokenizer: Any) -> None:
    tokenizer.chat_template = tokenizer.chat_template.replace("helpful", "harmless")
    with pytest.raises(StageError, match="no training template fits"):
        examples.training_template(tokenizer)


def test_a_template_that_trl_knows_is_trained_on(tokenizer: Any) -> None:
    from importlib import resources

    known = (resources.files("trl") / "chat_templates" / "qwen2_5.jinja").read_text("utf-8")
    tokenizer.chat_template = known
    found = examples.training_template(tokenizer)
    assert "{%- generation %}" in found or examples.GENERATION_MARK in found


def test_a_model_without_a_template_is_refused(tokenizer: Any) -> None:
    tokenizer.chat_template = None
    with pytest.raises(StageError, match="no chat template"):
        examples.training_template(tokenizer)
