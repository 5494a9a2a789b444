"""The tiny base: a real Qwen2 in the ordinary layout, built once, whole or not at all."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from haruon_tui.dataset import composer, persona
from haruon_tui.errors import Stopped
from haruon_tui.jobs.context import JobContext
from haruon_tui.jobs.events import EventReader
from haruon_tui.model import tiny

RECIPE = tiny.Recipe(
    vocabulary=1024, hidden=64, feed_forward=128, layers=2, heads=2, key_value_heads=1, steps=4,
    batch_tokens=512,
)  # fmt: skip
TEXTS = list(composer.base_corpus(seed=7))[:160]
PROBES = (
    "낯선 음식을 먹어 보는 걸 좋아해요.\n\n### 개방성 (Openness): 매우 높음",
    "It's 3.14 — don't panic!  \t\r\n  ok",
    "def f(x):\n    return x ** 2  # 제곱",
    "👩‍🚀🇰🇷 ㅋㅋㅋ 한글 e\u0301 각",
    "<|im_start|>user\n안녕<|im_end|>\n",
)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    work = tmp_path_factory.mktemp("tiny")
    tiny.build(RECIPE, TEXTS, work / "base", JobContext.local(work / "job"))
    return work / "base"


@pytest.fixture
def job(tmp_path: Path) -> JobContext:
    return JobContext.local(tmp_path / "job")


def test_the_ordinary_code_path_loads_a_qwen2_with_tied_embeddings(base: Path) -> None:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base)
    assert type(model).__name__ == "Qwen2ForCausalLM"
    assert model.lm_head.weight.data_ptr() == model.model.embed_tokens.weight.data_ptr()
    assert json.loads((base / "config.json").read_text())["architectures"] == ["Qwen2ForCausalLM"]


def test_the_full_recipe_has_about_three_and_a_half_million_parameters() -> None:
    import torch

    recipe = tiny.RECIPE
    tokenizer = SimpleNamespace(convert_tokens_to_ids=lambda tokens: list(range(len(tokens))))
    with torch.device("meta"):
        parameters = tiny.new_model(recipe, tokenizer).num_parameters()
    assert 3_200_000 < parameters < 4_000_000
    assert not [size for size in (recipe.hidden, recipe.feed_forward) if size % 256]


def test_the_tokenizer_splits_as_qwen2_and_gives_every_text_back(base: Path) -> None:
    from transformers import AutoTokenizer, Qwen2Tokenizer

    tokenizer = AutoTokenizer.from_pretrained(base)
    mine = json.loads((base / "tokenizer.json").read_text("utf-8"))
    theirs = json.loads(Qwen2Tokenizer().backend_tokenizer.to_str())
    assert mine["pre_tokenizer"] == theirs["pre_tokenizer"]
    assert mine["normalizer"] == {"type": "NFC"}
    for text in PROBES:
        ids = tokenizer(text)["input_ids"]
        normal = text.replace("e\u0301", "\u00e9")
        assert tokenizer.decode(ids, clean_up_tokenization_spaces=False) == normal


def test_special_tokens_are_one_token_each_and_come_last(base: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base)
    special = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
    ids = [tokenizer(token)["input_ids"] for token in special]
    assert ids == [[len(tokenizer) - 3], [len(tokenizer) - 2], [len(tokenizer) - 1]]
    assert len(tokenizer) <= RECIPE.vocabulary
    assert tokenizer.eos_token == "<|im_end|>"
    assert tokenizer.pad_token == "<|endoftext|>"


def test_the_chat_template_is_qwen2s(base: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base)
    assert tokenizer.apply_chat_template(
        [{"role": "user", "content": "안녕"}], tokenize=False, add_generation_prompt=True
    ) == (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
        "<|im_start|>user\n안녕<|im_end|>\n<|im_start|>assistant\n"
    )
    messages = persona.prompt_messages(dict.fromkeys([t.key for t in persona.TRAITS], "네"))
    assert persona.SYSTEM_PROMPT in tokenizer.apply_chat_template(messages, tokenize=False)


def test_generation_ends_at_the_end_of_the_turn(base: Path) -> None:
    from transformers import AutoTokenizer, GenerationConfig

    tokenizer = AutoTokenizer.from_pretrained(base)
    ends = GenerationConfig.from_pretrained(base).eos_token_id
    assert tokenizer.convert_tokens_to_ids(["<|im_end|>", "<|endoftext|>"]) == ends


def test_the_loss_falls_while_it_is_built(tmp_path: Path) -> None:
    job = JobContext.local(tmp_path / "job")
    recipe = dataclasses.replace(RECIPE, steps=20, warmup_steps=2)
    tiny.build(recipe, TEXTS, tmp_path / "base", job)
    events = EventReader(tmp_path / "job" / "events.jsonl").read()
    losses = {e["step"]: e["values"]["loss"] for e in events if e["kind"] == "metric"}
    assert losses[20] < losses[1] - 0.5
    assert [e["done"] for e in events if e["kind"] == "progress"][-1] == 20


def test_it_is_built_once_and_then_taken_from_the_cache(
    tmp_path: Path, job: JobContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARUON_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(composer, "CORPUS_DOCUMENTS", 40)
    recipe = dataclasses.replace(RECIPE, steps=1)
    first = tiny.cached_base(job, recipe)
    made = (first / "model.safetensors").stat().st_mtime_ns
    assert first.parent == tmp_path / "cache"
    assert tiny.cached_base(job, recipe) == first
    assert (first / "model.safetensors").stat().st_mtime_ns == made
    assert tiny.cached_base(job, dataclasses.replace(recipe, seed=8)) != first


def test_a_stopped_build_leaves_nothing_in_the_cache(
    tmp_path: Path, job: JobContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARUON_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(composer, "CORPUS_DOCUMENTS", 40)
    job.stop.set()
    with pytest.raises(Stopped):
        tiny.cached_base(job, RECIPE)
    assert list((tmp_path / "cache").iterdir()) == []


def test_the_cache_key_changes_with_recipe_and_texts() -> None:
    key = tiny.fingerprint(RECIPE, ["하나"])
    assert key == tiny.fingerprint(RECIPE, ["하나"])
    assert key != tiny.fingerprint(RECIPE, ["둘"])
    assert key != tiny.fingerprint(dataclasses.replace(RECIPE, steps=5), ["하나"])
