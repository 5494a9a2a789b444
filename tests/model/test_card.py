"""The card: what the files say, without torch; and what is no model is named."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from haruon_tui.errors import StageError
from haruon_tui.model.card import card, template_kind
from haruon_tui.model.choices import choices


@pytest.fixture
def folder(hub, tmp_path: Path) -> Path:
    made = tmp_path / "모델"
    made.mkdir()
    for name, content in hub.files.items():
        if "/" not in name:
            (made / name).write_bytes(content)
    return made


def test_the_card_counts_the_weights_and_names_the_tokens(folder: Path) -> None:
    found = card(folder)
    assert found.parameters == 512 * 64, "a tied output layer is counted once"
    assert found.dtypes == {"F32": 512 * 64}
    assert (found.layers, found.heads, found.key_value_heads, found.context) == (2, 4, 2, 512)
    assert found.template == "ChatML"
    assert found.license == "apache-2.0"
    assert [(t.role, t.text, t.id) for t in found.special_tokens] == [
        ("eos", "<|im_end|>", 5),
        ("pad", "<|endoftext|>", 4),
    ]
    assert [(t.text, t.id) for t in found.stop_tokens] == [
        ("<|im_end|>", 5),
        ("<|endoftext|>", 4),
    ]


def test_it_agrees_with_the_model_that_is_loaded(base: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    found = card(base)
    model = AutoModelForCausalLM.from_pretrained(base)
    tokenizer = AutoTokenizer.from_pretrained(base)
    assert found.parameters == model.num_parameters()
    assert found.tokens == len(tokenizer)
    assert [t.id for t in found.stop_tokens] == model.generation_config.eos_token_id
    named = {t.role: t.id for t in found.special_tokens if t.role}
    assert named["eos"] == tokenizer.eos_token_id


def test_no_config_of_its_own_leaves_dashes_not_errors(folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "odd"}')
    for name in ("generation_config.json", "tokenizer_config.json", "README.md"):
        (folder / name).unlink()
    found = card(folder)
    assert (found.layers, found.license, found.template) == (None, None, "none")
    assert found.stop_tokens == []
    assert found.parameters == 2 * 512 * 64


@pytest.mark.parametrize(
    "content",
    [b"", b"\x08\0\0\0\0\0\0\0notjson!", b"\xff" * 8 + b"{}", b"\x02\0\0\0\0\0\0\0[]", b"x"],
)
def test_a_file_that_is_no_safetensors_is_named(folder: Path, content: bytes) -> None:
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(StageError) as caught:
        card(folder)
    assert caught.value.where == str(folder / "model.safetensors")


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json"])
@pytest.mark.parametrize("content", ["[", '{"model": [], "chat_template": [3]}', "5"])
def test_rubbish_is_an_error_with_a_file_not_a_traceback(
    folder: Path, name: str, content: str
) -> None:
    (folder / name).write_text(content)
    with pytest.raises(StageError) as caught:
        card(folder)
    assert name in str(caught.value.where)


def test_the_kinds_of_templates() -> None:
    assert template_kind("x<|start_header_id|>y") == "Llama 3"
    assert template_kind("{{ messages }}") == "its own kind"
    assert template_kind(None) == "none"


def test_the_two_bases_differ_where_they_stop() -> None:
    plain, instruct = choices()
    assert "151643" in plain.tokenizer_eos
    assert "151645" in instruct.tokenizer_eos
    assert "LoRA" in plain.meaning
    assert plain.name != instruct.name


def test_reading_a_card_imports_no_heavy_library(folder: Path) -> None:
    script = (
        "import sys, pathlib, haruon_tui.model.card as c;"
        f"c.card(pathlib.Path({str(folder)!r}));"
        "heavy = {'torch', 'transformers', 'numpy', 'safetensors'};"
        "print(json.dumps(sorted(heavy & set(sys.modules))))"
    )
    out = subprocess.check_output([sys.executable, "-c", "import json;" + script], text=True)
    assert json.loads(out) == []
