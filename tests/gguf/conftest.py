"""A small, real Qwen2 for the GGUF tests: random weights, a trained byte-level BPE tokenizer."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

QWEN2_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN2_TEMPLATE = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n' }}{% endif %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
SENTENCES = (
    "새로운 것을 배우는 일이 즐겁고, 낯선 곳으로 여행을 떠나는 편입니다.",
    "계획을 세우고 차근차근 지키는 것을 좋아하며 약속 시간에 늦지 않습니다.",
    "사람들과 어울리는 자리에서 힘을 얻지만 가끔은 혼자 있는 시간도 필요합니다.",
    "친구의 이야기를 끝까지 들어 주고 도움이 될 만한 말을 찾습니다.",
    "작은 일에도 걱정이 많아 잠을 설칠 때가 있습니다.",
    "## Big5 심리 분석 리포트\n### 개방성 (Openness)\n**수준: 다소 높음**\n",
    "def report(level: int) -> str:\n    return f'{level} points'  # the quick brown fox\n",
)


def build_model(
    folder: Path,
    *,
    tied: bool = True,
    dtype: str = "float32",
    shard_size: str = "5GB",
    spread: float = 0.08,
    hidden: int = 256,
    sentences: Sequence[str] = SENTENCES,
    vocabulary: int = 600,
    change: Callable[[Any], None] | None = None,
) -> Path:
    """Save a Qwen2 of 2 layers with a vocabulary that needs padding.

    `spread` is the deviation of the random weights: wide enough for logits that differ.
    `change` gets the model before it is saved.
    """
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    folder.mkdir(parents=True)
    tokens = save_tokenizer(folder, sentences, vocabulary)
    torch.manual_seed(5)
    config = Qwen2Config(
        vocab_size=(tokens // 64 + 1) * 64,
        hidden_size=hidden,
        intermediate_size=3 * hidden,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        tie_word_embeddings=tied,
        initializer_range=spread,
        rope_parameters={"rope_type": "default", "rope_theta": 1e6},
    )
    model = Qwen2ForCausalLM(config).to(getattr(torch, dtype))
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith("bias"):
                weight.normal_(std=spread)
        if change:
            change(model)
    model.save_pretrained(folder, max_shard_size=shard_size)
    return folder


def save_tokenizer(folder: Path, sentences: Sequence[str], vocabulary: int) -> int:
    """Train a tokenizer of at most `vocabulary` tokens and three special ones, and save it.

    Returns the number of tokens.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
    from tokenizers.trainers import BpeTrainer
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN2_SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=vocabulary,
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator(list(sentences) * 3, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|endoftext|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=["<|im_start|>", "<|im_end|>"],
        chat_template=QWEN2_TEMPLATE,
    )
    fast.save_pretrained(folder)
    return len(fast)


@pytest.fixture(scope="session")
def tied_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_model(tmp_path_factory.mktemp("tied") / "model")


@pytest.fixture(scope="session")
def untied_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_model(tmp_path_factory.mktemp("untied") / "model", tied=False, dtype="bfloat16")


@pytest.fixture(scope="session")
def tied_gguf(tied_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from haruon_tui.gguf.convert import convert

    out = tmp_path_factory.mktemp("gguf") / "model.F16.gguf"
    convert(tied_model, out)
    return out


@pytest.fixture
def copied_gguf(tied_gguf: Path, tmp_path: Path) -> Path:
    """A copy of the tied model's GGUF to spoil."""
    return Path(shutil.copy(tied_gguf, tmp_path / "spoilt.gguf"))


@pytest.fixture
def copied_model(tied_model: Path, tmp_path: Path) -> Path:
    """A copy of the tied model to spoil."""
    return Path(shutil.copytree(tied_model, tmp_path / "model"))


def edit_json(path: Path, **changes: Any) -> None:
    """Set keys of a JSON file; a key set to None is taken away."""
    content = {**json.loads(path.read_text("utf-8")), **changes}
    kept = {key: value for key, value in content.items() if value is not None}
    path.write_text(json.dumps(kept, ensure_ascii=False), encoding="utf-8")


def set_number(gguf_file: Path, key: str, value: float) -> None:
    """Overwrite one number among the metadata of a GGUF file."""
    from gguf import GGUFReader

    reader = GGUFReader(gguf_file, "r+")
    field = reader.fields[key]
    field.parts[field.data[0]][0] = value
    reader.data.flush()
