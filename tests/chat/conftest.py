"""A GGUF model whose answer is known: each token determines the next one."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from haruon_tui.chat.client import ChatClient

QWEN2_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
TEMPLATE = (
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n'"
    " + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
HIDDEN = 256

Client = Callable[..., ChatClient]


def chain_model(folder: Path, answer: str, end: str) -> Path:
    """Save a Qwen2 that answers with the bytes of `answer`, one token each, and then `end`.

    Its layers add nothing, so the last hidden state is the last token's embedding, a random
    vector of ±1; the head's row of a token is the embedding of the token it follows. No byte
    may occur twice in `answer`.
    """
    import torch
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    # llama.cpp wants at least one merge.
    vocabulary = {letter: place for place, letter in enumerate([*letters, "zz"])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[("z", "z")]))
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(QWEN2_SPLIT), behavior="isolated"), byte_level]
    )
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=["<|im_start|>"],
        chat_template=TEMPLATE,
    )
    fast.save_pretrained(folder)
    config = Qwen2Config(
        vocab_size=len(fast),
        hidden_size=HIDDEN,
        intermediate_size=HIDDEN,
        num_hidden_layers=1,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=8192,
        tie_word_embeddings=False,
        rope_parameters={"rope_type": "default", "rope_theta": 1e6},
    )
    model = Qwen2ForCausalLM(config)
    torch.manual_seed(1)
    embeddings = torch.randint(0, 2, (len(fast), HIDDEN)).float() * 2 - 1
    chain = fast.encode("\n" + answer, add_special_tokens=False)
    chain.append(fast.convert_tokens_to_ids(end) if end.startswith("<") else fast.encode(end)[0])
    with torch.no_grad():
        model.model.embed_tokens.weight.copy_(embeddings)
        for name, weight in model.named_parameters():
            if name.endswith(("o_proj.weight", "down_proj.weight", "lm_head.weight")):
                weight.zero_()
        for before, after in itertools.pairwise(chain):
            model.lm_head.weight[after] += embeddings[before]
    model.save_pretrained(folder)
    return folder


def chain_gguf(folder: Path, answer: str, end: str) -> Path:
    from haruon_tui.gguf.convert import convert

    file = folder / "model.F16.gguf"
    convert(chain_model(folder / "model", answer, end), file)
    return file


@pytest.fixture(scope="session")
def short_answer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Answers 한글 and stops; every character comes in three tokens."""
    return chain_gguf(tmp_path_factory.mktemp("short"), "한글", "<|im_end|>")


@pytest.fixture(scope="session")
def endless_answer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Answers abababab..."""
    return chain_gguf(tmp_path_factory.mktemp("endless"), "ab", "a")


@pytest.fixture(scope="session")
def random_words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Qwen2 with random weights, whose answer depends on every token before."""
    from bench.gguf_models import build
    from haruon_tui.gguf.convert import convert

    folder = tmp_path_factory.mktemp("random")
    file = folder / "model.F16.gguf"
    convert(build(folder / "model", layers=2, hidden=256, feed_forward=512), file)
    return file


@pytest.fixture
def client() -> Iterator[Client]:
    """Makes clients, and closes them at the end. One thread each: tests share the cores."""
    made: list[ChatClient] = []

    def make(path: Path, **options: object) -> ChatClient:
        made.append(ChatClient(path, threads=1, **options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for one in made:
        one.close()
