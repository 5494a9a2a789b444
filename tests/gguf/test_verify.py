"""The proof holds for a faithful GGUF, and names what differs in any other."""

from __future__ import annotations

import dataclasses
import json
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from haruon_tui.errors import StageError
from haruon_tui.gguf import convert_stage, probes
from haruon_tui.gguf.convert import convert
from haruon_tui.gguf.encoding import DataType
from haruon_tui.gguf.model_config import Config
from haruon_tui.gguf.quantize import quantize
from haruon_tui.gguf.verify import Check, mean_kl, verify
from haruon_tui.gguf.vocabulary import Vocabulary, read_vocabulary
from haruon_tui.jobs.context import JobContext

from .broken_files import BROKEN
from .conftest import QWEN2_TEMPLATE, build_model, edit_json, set_number

LINES = [
    "loads in llama.cpp",
    "vocabulary",
    "pre-tokenizer",
    "stop token",
    "token ids",
    "chat template",
    "prompts",
    "logits",
    "greedy text",
]


def failed(checks: list[Check]) -> list[str]:
    return [check.name for check in checks if not check.ok]


def line(checks: list[Check], name: str) -> str:
    return next(check.detail for check in checks if check.name == name)


def kl_of(checks: list[Check]) -> float:
    return float(line(checks, "logits").split()[2])


@pytest.mark.parametrize(
    ("model", "dtype", "kl"),
    [
        ("tied_model", "F16", 1e-4),
        ("untied_model", "F32", 1e-5),
        ("qwen3_model", "F16", 1e-4),
        ("llama_model", "F16", 1e-4),
        ("llama_model", "BF16", 1e-3),
    ],
)
def test_a_faithful_gguf_passes_every_line(
    model: str, dtype: DataType, kl: float, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    folder = request.getfixturevalue(model)
    convert(folder, tmp_path / "out.gguf", dtype=dtype)
    checks = verify(tmp_path / "out.gguf", folder)
    assert [check.name for check in checks] == LINES
    assert failed(checks) == []
    assert kl_of(checks) < kl
    assert "of 16 tokens equal" in line(checks, "greedy text")


def transposed(folder: Path) -> None:
    """One square weight the wrong way round."""
    weights = load_file(folder / "model.safetensors")
    name = "model.layers.1.self_attn.o_proj.weight"
    weights[name] = np.ascontiguousarray(weights[name].T)
    save_file(weights, folder / "model.safetensors")


FAULTS: dict[str, tuple[Callable[[Vocabulary], dict[str, Any]], list[str]]] = {
    "a wrong pre-tokenizer": (lambda v: {"pre_tokenizer": "llama-bpe"}, ["pre-tokenizer"]),
    "a swapped end": (lambda v: {"eos": v.bos, "bos": v.eos}, ["stop token"]),
    "an altered template": (
        lambda v: {"chat_template": v.chat_template.replace("assistant\n", "assistant:\n")},
        ["chat template", "prompts"],
    ),
    "a renamed token": (
        lambda v: {"tokens": [text + "ĠĠ" * (text == "Ġquick") for text in v.tokens]},
        ["vocabulary"],
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_fails_its_own_line(
    fault: str, tied_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change, lines = FAULTS[fault]

    def with_fault(folder: Path, config: Config) -> Vocabulary:
        sound = read_vocabulary(folder, config)
        return dataclasses.replace(sound, **change(sound))

    monkeypatch.setattr("haruon_tui.gguf.convert.read_vocabulary", with_fault)
    convert(tied_model, tmp_path / "out.gguf")
    assert failed(verify(tmp_path / "out.gguf", tied_model)) == lines


def test_one_transposed_weight_fails_the_lines_of_the_weights(
    copied_model: Path, tied_model: Path, tmp_path: Path
) -> None:
    transposed(copied_model)
    convert(copied_model, tmp_path / "out.gguf")
    checks = verify(tmp_path / "out.gguf", tied_model)
    assert failed(checks) == ["logits", "greedy text"]


def test_text_is_split_as_the_model_splits_it(tmp_path: Path) -> None:
    """With a token for every piece of every probe, each difference in splitting would show."""
    folder = build_model(
        tmp_path / "model", sentences=list(probes.TOKENS.values()), vocabulary=5000
    )
    convert(folder, tmp_path / "out.gguf")
    assert failed(verify(tmp_path / "out.gguf", folder)) == []


def test_probes_are_composed() -> None:
    for text in (*probes.TOKENS.values(), probes.LOGITS):
        assert unicodedata.is_normalized("NFC", text)


@pytest.mark.parametrize(
    ("key", "value", "lines"),
    [
        ("tokenizer.ggml.eos_token_id", 600, ["stop token"]),
        ("tokenizer.ggml.add_bos_token", True, ["stop token", "token ids"]),
        ("qwen2.rope.freq_base", 1e4, ["logits", "greedy text"]),
        ("qwen2.attention.layer_norm_rms_epsilon", 1.0, ["logits", "greedy text"]),
    ],
)
def test_wrong_metadata_is_found(
    key: str, value: float, lines: list[str], copied_gguf: Path, tied_model: Path
) -> None:
    set_number(copied_gguf, key, value)
    assert failed(verify(copied_gguf, tied_model)) == lines


def test_other_merges_are_found(copied_model: Path, tied_model: Path, tmp_path: Path) -> None:
    path = copied_model / "tokenizer.json"
    content = json.loads(path.read_text("utf-8"))
    del content["model"]["merges"][40:80]
    path.write_text(json.dumps(content), encoding="utf-8")
    convert(copied_model, tmp_path / "out.gguf")
    checks = verify(tmp_path / "out.gguf", tied_model)
    assert failed(checks) == ["token ids", "prompts"]
    assert "Korean" in line(checks, "token ids")


def test_other_weights_are_found(tied_gguf: Path, untied_model: Path) -> None:
    assert failed(verify(tied_gguf, untied_model)) == ["logits", "greedy text"]


def test_another_vocabulary_is_found(tied_gguf: Path, tmp_path: Path) -> None:
    larger = build_model(tmp_path / "model", hidden=64, spare=64)
    checks = verify(tied_gguf, larger)
    assert failed(checks) == ["vocabulary"]
    assert line(checks, "vocabulary") == "640 tokens, config.json says 704"


def test_a_template_that_cannot_be_rendered_is_a_failed_line(
    copied_model: Path, tmp_path: Path
) -> None:
    template = "{{ raise_exception('안 돼요') }}<|im_end|>"
    (copied_model / "chat_template.jinja").write_text(template, encoding="utf-8")
    convert(copied_model, tmp_path / "out.gguf")
    checks = verify(tmp_path / "out.gguf", copied_model)
    assert failed(checks) == ["prompts"]
    assert "안 돼요" in line(checks, "prompts")


@pytest.mark.parametrize("damage", BROKEN)
def test_a_broken_file_is_one_failed_line(
    damage: str, copied_gguf: Path, tied_model: Path
) -> None:
    whole = copied_gguf.read_bytes()
    spoilt = BROKEN[damage](whole)
    assert spoilt != whole
    copied_gguf.write_bytes(spoilt)
    (check,) = verify(copied_gguf, tied_model)
    assert not check.ok
    assert check.name == "loads in llama.cpp"
    assert len(check.detail) > 20
    assert "\n" not in check.detail
    assert "Traceback" not in check.detail


@pytest.mark.parametrize(
    "spoil",
    [
        lambda folder: edit_json(folder / "config.json", intermediate_size=512),
        lambda folder: (folder / "tokenizer.json").write_text('{"model": {"type": "BPE"}}'),
        lambda folder: (folder / "model.safetensors").write_bytes(b"\xff" * 4096),
        lambda folder: (folder / "chat_template.jinja").write_bytes(b"\xff\xfe"),
    ],
    ids=["config against weights", "no tokenizer", "no weights", "no text"],
)
def test_a_broken_model_folder_is_one_plain_error(
    spoil: Callable[[Path], Any], tied_gguf: Path, copied_model: Path
) -> None:
    spoil(copied_model)
    with pytest.raises(StageError) as error:
        verify(tied_gguf, copied_model)
    assert error.value.where
    assert str(copied_model) in error.value.where
    assert "\n" not in error.value.what


def test_the_divergence_of_a_quantized_file_is_told(
    tied_gguf: Path, tied_model: Path, tmp_path: Path
) -> None:
    quantize(tied_gguf, tmp_path / "out.gguf", "Q4_0")
    checks = verify(tmp_path / "out.gguf", tied_model)
    assert failed(checks) == []
    assert kl_of(checks) > 1e-3
    assert "no bound for Q4_0" in line(checks, "logits")


def test_a_crash_of_llama_cpp_is_a_failed_line(copied_gguf: Path, tied_model: Path) -> None:
    set_number(copied_gguf, "qwen2.block_count", 0)
    (check,) = verify(copied_gguf, tied_model)
    assert not check.ok
    assert "SIGABRT" in check.detail
    assert "n_layer" in check.detail


def test_a_missing_model_folder_is_an_error(tied_gguf: Path, tmp_path: Path) -> None:
    with pytest.raises(StageError, match=r"config\.json"):
        verify(tied_gguf, tmp_path)


def test_mean_kl_is_in_nats_per_row() -> None:
    p = np.log(np.array([[0.6, 0.4], [0.9, 0.1]], np.float32))
    q = np.log(np.array([[0.25, 0.75], [0.9, 0.1]], np.float32))
    by_hand = (0.6 * np.log(0.6 / 0.25) + 0.4 * np.log(0.4 / 0.75)) / 2
    divergence, same_likeliest = mean_kl(p + 7, q - 3)
    assert divergence == pytest.approx(by_hand, rel=1e-5)
    assert same_likeliest == 0.5
    assert mean_kl(p, p) == (0.0, 1.0)


def test_the_stage_leaves_a_proven_gguf(tied_model: Path, tmp_path: Path) -> None:
    job = JobContext.local(tmp_path / "run")
    result = convert_stage.run(convert_stage.Params(model=tied_model, name="Haruon tiny"), job)
    assert [check.name for check in result.checks] == LINES
    assert (job.artifacts / "model.F16.gguf").stat().st_size == result.bytes
    proof = json.loads((job.artifacts / "proof.json").read_text("utf-8"))
    assert proof == [check.model_dump() for check in result.checks]


def test_a_gguf_that_fails_its_proof_is_kept_under_a_name_that_says_so(
    copied_model: Path, tmp_path: Path
) -> None:
    """llama.cpp's own formatter takes this for plain ChatML and would leave the greeting out."""
    template = "안녕! " + QWEN2_TEMPLATE
    (copied_model / "chat_template.jinja").write_text(template, encoding="utf-8")
    job = JobContext.local(tmp_path / "run")
    with pytest.raises(StageError) as error:
        convert_stage.run(convert_stage.Params(model=copied_model, name="Haruon tiny"), job)
    assert "prompts" in error.value.what
    assert "built in" in error.value.what
    assert str(error.value.where).endswith("model.F16.failed-proof.gguf")
    kept = {path.name for path in job.artifacts.iterdir()}
    assert kept == {"proof.json", "manifest.json", "model.F16.failed-proof.gguf"}
    assert list(job.scratch.iterdir()) == []
