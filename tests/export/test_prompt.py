"""The prompt's pieces give what the tokenizer's template renders, and every prompt fits."""

from __future__ import annotations

from pathlib import Path

import pytest

from haruon_tui.dataset import golden, persona
from haruon_tui.dataset.token_lengths import PER_MESSAGE, Estimate
from haruon_tui.errors import StageError
from haruon_tui.evaluation.cases import Case, read_cases
from haruon_tui.export.fits import fits
from haruon_tui.export.prompt import joined, pieces
from tests.export.conftest import Qwen2Template


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    return read_cases(golden.cases_file())


def test_the_pieces_join_to_what_transformers_renders_for_every_case(
    source_model: Path, proven: Path, cases: list[Case]
) -> None:
    from transformers import AutoTokenizer

    from haruon_tui.gguf.native import Model

    tokenizer = AutoTokenizer.from_pretrained(source_model)
    with Model(proven / "model.F16.gguf", context=64) as model:
        parts = pieces(model)
    assert len(cases) == 40
    for case in cases:
        rendered = tokenizer.apply_chat_template(
            case.messages, tokenize=False, add_generation_prompt=True
        )
        assert joined(parts, case.answers).encode() == rendered.encode()


def test_the_template_of_the_program_gives_the_same_pieces() -> None:
    parts = pieces(Qwen2Template())
    assert parts[0].startswith(f"<|im_start|>system\n{persona.SYSTEM_PROMPT}<|im_end|>\n")
    assert parts[-1] == "'<|im_end|>\n<|im_start|>assistant\n"


class _Trims(Qwen2Template):
    def render_chat(self, messages: list[dict[str, str]]) -> str:
        return super().render_chat(
            [{**message, "content": " ".join(message["content"].split())} for message in messages]
        )


class _Drops(Qwen2Template):
    def render_chat(self, messages: list[dict[str, str]]) -> str:
        return super().render_chat(messages[:1])


@pytest.mark.parametrize("template", [_Trims(), _Drops()])
def test_a_template_that_changes_answers_is_refused(template: Qwen2Template) -> None:
    with pytest.raises(StageError, match="more with the answers"):
        pieces(template)


class _EstimatedTokens:
    """An upper bound of Qwen2's tokens (docs/measurements.md)."""

    def tokenize(self, text: str, *, rendered: bool = False) -> list[int]:
        return [0] * (Estimate().count(text, spoken=True) + 3 * PER_MESSAGE)


def test_a_context_of_2048_holds_every_case_with_800_new_tokens(cases: list[Case]) -> None:
    fit = fits(_EstimatedTokens(), pieces(Qwen2Template()), cases, 2048, 800)
    assert fit["cases"] == 40
    assert 0 < fit["longest_prompt_tokens"] <= 2048 - 800 - fit["tokens_left"]


def test_a_context_that_is_too_small_names_the_case_and_the_setting(cases: list[Case]) -> None:
    with pytest.raises(StageError, match="golden-case-001") as raised:
        fits(_EstimatedTokens(), pieces(Qwen2Template()), cases, 1024, 800)
    assert raised.value.where == "chat.context"
    assert "chat.context=2048" in str(raised.value)
