"""Small models to evaluate, a report that holds to the rules, and cases."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from haruon_tui.dataset import persona
from haruon_tui.evaluation.cases import Case

LEVELS = ("높음", "다소 낮음", "중간", "매우 높음", "낮음")
REPORT = "\n\n".join(
    [
        persona.TITLE,
        persona.OPENING,
        *(
            f"{trait.heading}: {level}\n답변에서 이러한 경향이 드러나는 것으로 보입니다."
            for trait, level in zip(persona.TRAITS, LEVELS, strict=True)
        ),
        f"{persona.SUMMARY}\n여러 면이 고르게 어울려 있는 것으로 보입니다.",
    ]
)
TEMPLATE = (
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n'"
    " + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
HIDDEN = 256


def make_case(id: str, group: str = "held-out sentences", answer: str = "답") -> Case:
    keys = [trait.key for trait in persona.TRAITS]
    return Case(
        id=id,
        group=group,
        answers=dict.fromkeys(keys, answer),
        levels=dict(zip(keys, LEVELS, strict=True)),
    )


@pytest.fixture
def report() -> str:
    return REPORT


@pytest.fixture
def case() -> Case:
    return make_case("one")


@pytest.fixture
def cases() -> list[Case]:
    """Five cases in two groups, with prompts of different lengths."""
    return [
        make_case(f"c{n}", ("held-out combinations", "held-out sentences")[n % 2], "긴 답 " * n)
        for n in range(1, 6)
    ]


@pytest.fixture
def cases_file(cases: list[Case], tmp_path: Path) -> Path:
    path = tmp_path / "cases.jsonl"
    lines = [json.dumps(case.model_dump(), ensure_ascii=False) for case in cases]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def many_cases(tmp_path: Path) -> Path:
    """Twelve cases, for something to be interrupted."""
    path = tmp_path / "many.jsonl"
    lines = [
        json.dumps(make_case(f"m{n}", answer="답 " * (n % 4 + 1)).model_dump(), ensure_ascii=False)
        for n in range(1, 13)
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def gguf_model(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A model with random weights and its GGUF, both in float32, so that their texts are equal."""
    from haruon_tui.gguf.convert import convert
    from tests.gguf.conftest import build_model

    folder = build_model(tmp_path_factory.mktemp("gguf") / "model", spread=0.15)
    out = folder.parent / "model.F32.gguf"
    convert(folder, out, dtype="F32")
    return folder, out


def save_tokenizer(folder: Path) -> object:
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from tokenizers.trainers import BpeTrainer
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=600,
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator([persona.SYSTEM_PROMPT] * 3, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|endoftext|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=["<|im_start|>", "<|im_end|>"],
        chat_template=TEMPLATE,
    )
    fast.add_tokens([AddedToken(REPORT, normalized=False)])
    fast.save_pretrained(folder)
    return fast


def save_model(folder: Path, chain: list[str] | None) -> Path:
    """Save a Qwen2: with random weights, or one that answers with `chain`, token by token.

    The chain's layers add nothing, so the last hidden state is the last token's embedding, a
    random vector of ±1; the head's row of a token is the embedding of the token it follows.
    """
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(3)
    tokenizer = save_tokenizer(folder)
    config = Qwen2Config(
        vocab_size=len(tokenizer),  # type: ignore[arg-type]
        hidden_size=HIDDEN,
        intermediate_size=HIDDEN,
        num_hidden_layers=1 if chain else 2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        tie_word_embeddings=False,
        initializer_range=0.1,
    )
    model = Qwen2ForCausalLM(config)
    if chain:
        ids = [tokenizer.convert_tokens_to_ids(token) for token in ["Ċ", *chain]]  # type: ignore[attr-defined]
        embeddings = torch.randint(0, 2, (config.vocab_size, HIDDEN)).float() * 2 - 1
        with torch.no_grad():
            model.model.embed_tokens.weight.copy_(embeddings)
            for name, weight in model.named_parameters():
                if name.endswith(("o_proj.weight", "down_proj.weight", "lm_head.weight")):
                    weight.zero_()
            for before, after in itertools.pairwise(ids):
                model.lm_head.weight[after] += embeddings[before]
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def model_builder(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Saves models. Tests share the cores, where threads that wait for each other are slower
    than one."""
    import torch

    torch.set_num_threads(1)

    def build(chain: list[str] | None = None) -> Path:
        return save_model(tmp_path_factory.mktemp("model"), chain)

    return build


@pytest.fixture(scope="session")
def random_model(model_builder: Callable[..., Path]) -> Path:
    return model_builder()


@pytest.fixture(scope="session")
def endless_model(model_builder: Callable[..., Path]) -> Path:
    """Writes abababab..., as an untuned model that does not know when to stop."""
    return model_builder(["a", "b", "a"])


@pytest.fixture(scope="session")
def report_model(model_builder: Callable[..., Path]) -> Path:
    """Writes REPORT, which is one token, and ends."""
    return model_builder([REPORT, "<|im_end|>"])
