"""Small, real models for the GGUF tests: random weights, a trained byte-level BPE tokenizer."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from bench.gguf_models import LLAMA3, LLAMA3_ROPE, SPECIAL

QWEN2_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
LLAMA3_SPLIT = QWEN2_SPLIT.replace(r"|\p{N}|", r"|\p{N}{1,3}|")
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
    family: str = "Qwen2",
    spare: int = 0,
    change: Callable[[Any], None] | None = None,
) -> Path:
    """Save a model of 2 layers with a vocabulary that needs padding.

    `family` is Qwen2, Qwen3 or Llama, the last with Llama 3's tokenizer and rotary embedding.
    `spread` is the deviation of the random weights: wide enough for logits that differ. `spare`
    adds rows to the embedding. `change` gets the model before it is saved.
    """
    import torch
    import transformers

    folder.mkdir(parents=True)
    tokens = save_tokenizer(folder, sentences, vocabulary, llama=family == "Llama")
    torch.manual_seed(5)
    rope: dict[str, Any] = {"rope_type": "default", "rope_theta": 1e6}
    if family == "Llama":  # so short a context that every kind of wavelength is there
        rope = LLAMA3_ROPE | {"original_max_position_embeddings": 64}
    config = getattr(transformers, f"{family}Config")(
        vocab_size=(tokens // 64 + 1) * 64 + spare,
        hidden_size=hidden,
        intermediate_size=3 * hidden,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        tie_word_embeddings=tied,
        initializer_range=spread,
        rope_parameters=rope,
        bos_token_id=None,
        eos_token_id=tokens - 1,  # the last special token ends a turn
        **({"head_dim": 32} if family == "Qwen3" else {}),
    )
    model = getattr(transformers, f"{family}ForCausalLM")(config).to(getattr(torch, dtype))
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith("bias"):
                weight.normal_(std=spread)
            elif "norm" in name:
                weight.uniform_(0.5, 1.5)
        if change:
            change(model)
    model.save_pretrained(folder, max_shard_size=shard_size)
    return folder


def save_tokenizer(
    folder: Path, sentences: Sequence[str], vocabulary: int, *, llama: bool = False
) -> int:
    """Train a tokenizer of at most `vocabulary` tokens and the special ones, and save it: like
    Qwen2's, or like Llama 3's.

    Returns the number of tokens.
    """
    from tokenizers import (
        Regex,
        Tokenizer,
        decoders,
        models,
        normalizers,
        pre_tokenizers,
        processors,
    )
    from tokenizers.trainers import BpeTrainer
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE(ignore_merges=llama))
    if not llama:
        tokenizer.normalizer = normalizers.NFC()
    split = LLAMA3_SPLIT if llama else QWEN2_SPLIT
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(split), behavior="isolated"),
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
    if llama:
        first, end, *others = SPECIAL["llama-bpe"]
        tokenizer.add_special_tokens([first, end, *others])
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{first} $A", special_tokens=[(first, tokenizer.token_to_id(first))]
        )
    else:
        first, end, others = None, "<|endoftext|>", ["<|im_start|>", "<|im_end|>"]
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=first,
        eos_token=end,
        pad_token=end,
        additional_special_tokens=others,
        chat_template=LLAMA3 if llama else QWEN2_TEMPLATE,
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
def qwen3_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("qwen3") / "model"
    return build_model(folder, family="Qwen3", hidden=64, spread=0.2)


@pytest.fixture(scope="session")
def llama_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("llama") / "model"
    return build_model(folder, family="Llama", hidden=128, tied=False, spread=0.1)


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
